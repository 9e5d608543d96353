/** Pieces that every view is put together from. */

import { mayAct, millrace } from './api.js'
import { h, icon } from './dom.js'

/**
 * @typedef {import('./dom.js').Child} Child
 * @typedef {{message: string, suggestion?: string}} Told
 */

const TOAST_MS = 7_000
export const VIEWER = 'Viewers can look, and change nothing.'

/**
 * A view: its title, what stands beside that, and what is below.
 * @param {string} title
 * @param {{lead?: Child | Child[], actions?: Child[], back?: [string, string]}} head `back`: a link's text and address
 * @param {...(Child | Child[])} content
 */
export function page(title, { lead, actions = [], back }, ...content) {
  return h('div', { class: 'page' },
    back && h('a', { class: 'back', href: back[1] }, icon('prev'), back[0]),
    h('div', { class: 'head' }, h('div', {}, h('h1', {}, title), lead && h('p', { class: 'lead' }, lead)), actions.length > 0 && h('div', { class: 'actions' }, actions)),
    ...content)
}

/** @param {string} title */
export function loading(title) {
  return page(title, {}, h('div', { class: 'skeleton', role: 'status' }, h('span', { class: 'unseen' }, 'Loading …'), h('i'), h('i'), h('i')))
}

/**
 * A view that could not be shown.
 * @param {string} title
 * @param {Told} problem
 * @param {() => void} again
 */
export function trouble(title, problem, again) {
  return page(title, {}, h('div', { class: 'empty' }, icon('alert'), h('p', {}, h('strong', {}, problem.message)), problem.suggestion && h('p', {}, problem.suggestion), button('Try again', again)))
}

/**
 * Where nothing is yet, and what to do about it.
 * @param {string} sign
 * @param {string} title
 * @param {...Child} more
 */
export const empty = (sign, title, ...more) => h('div', { class: 'empty' }, icon(sign), h('p', {}, h('strong', {}, title)), ...more.map(each => (each instanceof Node ? each : h('p', {}, each))))

/**
 * @param {Child} label
 * @param {(event: Event) => unknown} onclick while what it returns is not settled, the button is busy; a Problem of it is told
 * @param {{sign?: string, kind?: 'primary' | 'danger' | 'quiet', acts?: boolean, label?: string, disabled?: boolean, type?: string}} [how] `acts`: not for viewers
 */
export function button(label, onclick, { sign, kind, acts = false, label: spoken, disabled = false, type = 'button' } = {}) {
  const isBarred = acts && !mayAct()
  const made = h('button', { type, class: kind, title: isBarred ? VIEWER : spoken, disabled, 'aria-label': spoken, 'aria-disabled': isBarred ? 'true' : undefined }, sign && icon(sign), label)
  made.addEventListener('click', async (/** @type {Event} */ event) => {
    if (isBarred) {
      event.preventDefault()
      return notice(VIEWER, 'bad')
    }
    if (made.getAttribute('aria-busy')) return
    const doing = onclick(event)
    if (!(doing instanceof Promise)) return
    made.setAttribute('aria-busy', 'true')
    await doing.catch(problem => notice(problem, 'bad'))
    made.removeAttribute('aria-busy')
  })
  return made
}

/**
 * Say shortly how something went.
 * @param {string | Told} said
 * @param {'good' | 'bad'} [kind]
 */
export function notice(said, kind = 'good') {
  const told = typeof said === 'string' ? { message: said, suggestion: '' } : said
  const toast = h('p', { class: 'toast', 'data-kind': kind }, icon(kind === 'bad' ? 'alert' : 'check'), h('span', {}, told.message, told.suggestion && ` ${told.suggestion}`), button('', () => toast.remove(), { sign: 'close', kind: 'quiet', label: 'Dismiss' }))
  document.getElementById('toasts')?.append(toast)
  setTimeout(() => toast.remove(), TOAST_MS)
}

/**
 * An element of the browser client, as whoever is signed in; rows that were refused are shown by this page.
 * @param {string} tag
 * @param {Record<string, string>} attributes
 */
export function clientElement(tag, attributes) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(mayAct() ? attributes : { ...attributes, readonly: '' })) made.setAttribute(name, value)
  Object.assign(made, { client: millrace })
  made.addEventListener('millrace:rejects', event => {
    event.preventDefault()
    location.hash = `#/jobs/${/** @type {CustomEvent} */ (event).detail.job.id}/rejects`
  })
  return made
}
