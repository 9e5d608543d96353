/** The page: lets people in, and shows the view that the address names. */

import { access, mayAct } from './api.js'
import { announce, h, icon, say, show } from './dom.js'
import { loading, notice, trouble } from './parts.js'
import { current, keyFromLink, signIn, signOut } from './session.js'

/**
 * @typedef {object} Place where somebody is
 * @property {string[]} path what stands behind the view's name: `#/data/people` has ['people']
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal aborts when somebody goes elsewhere
 *
 * @typedef {(place: Place) => Promise<Element> | Element} Open
 */

/** @typedef {{title: string, load: () => Promise<{open: Open}>, under?: string}} View `under`: the one that is marked instead */
const VIEWS = {
  import: { title: 'Import', load: () => import('./views/import.js') },
  monitor: { title: 'Monitor', load: () => import('./views/monitor.js') },
  data: { title: 'Data', load: () => import('./views/data.js') },
  files: { title: 'Files', load: () => import('./views/files.js') },
  schedules: { title: 'Schedules', load: () => import('./views/schedules.js') },
  flows: { title: 'Flows', load: () => import('./views/flows.js') },
  health: { title: 'Health', load: () => import('./views/health.js') },
  system: { title: 'System', load: () => import('./views/system.js') },
  jobs: { title: 'Job', load: () => import('./views/job.js'), under: 'monitor' },
  new: { title: 'New job', load: () => import('./views/new.js'), under: 'monitor' },
}
const SLOW_MS = 150

/** @param {string} id */
const element = id => /** @type {any} */ (document.getElementById(id))
let leaving = new AbortController()
let isFirst = true

/** Show what the address says. */
async function go() {
  if (keyed()) return
  const [route = '', search = ''] = location.hash.slice(2).split('?')
  const [name = '', ...path] = route.split('/').map(decodeURIComponent)
  const known = name in VIEWS ? /** @type {keyof typeof VIEWS} */ (name) : 'import'
  /** @type {View} */
  const view = VIEWS[known]
  leaving.abort()
  leaving = new AbortController()
  const { signal } = leaving
  mark(view.under ?? known)
  const main = element('view')
  delete main.dataset.at
  const slow = setTimeout(() => show(main, loading(view.title)), SLOW_MS)
  try {
    const { open } = await view.load()
    const shown = await open({ path, query: new URLSearchParams(search), signal })
    if (signal.aborted) return
    clearTimeout(slow)
    show(main, shown)
  } catch (problem) {
    if (signal.aborted) return
    clearTimeout(slow)
    show(main, trouble(view.title, /** @type {Error} */ (problem), go))
  }
  arrived(main)
}

/** @param {HTMLElement} main */
function arrived(main) {
  main.dataset.at = location.hash
  const title = main.querySelector('h1')?.textContent ?? ''
  document.title = `${title} · Millrace`
  if (!isFirst) {
    announce(title)
    scrollTo(0, 0)
    main.focus({ preventScroll: true })
  }
  isFirst = false
}

/** @param {string} name */
function mark(name) {
  for (const link of element('nav').querySelectorAll('a')) {
    if (link.dataset.view === name) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  element('nav').querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
}

/** A link with a key was followed: sign in with it. */
function keyed() {
  const key = keyFromLink()
  if (key) enter(() => signIn(key))
  return key !== ''
}

/** @param {() => Promise<import('./api.js').Session | null>} how */
async function enter(how) {
  try {
    if (!(await how())) return door()
  } catch (problem) {
    return door(/** @type {import('./api.js').Problem} */ (problem))
  }
  element('door').hidden = true
  element('shell').hidden = false
  say(element('account'), access.session?.account ?? '')
  say(element('role'), mayAct() ? '' : 'viewer')
  if (!mayAct()) element('role').title = 'A viewer sees everything and changes nothing.'
  go()
}

/** @param {import('./api.js').Problem} [problem] */
function door(problem) {
  leaving.abort()
  access.session = null
  element('shell').hidden = true
  element('door').hidden = false
  document.title = 'Sign in · Millrace'
  const told = element('sign-in-problem')
  told.hidden = !problem
  if (problem) show(told, problem.status === 401 ? 'The service does not know this key.' : [problem.message, ' ', problem.suggestion ?? ''])
  element('key').focus()
}

show(element('nav'), Object.entries(VIEWS).filter(([, view]) => !('under' in view)).map(([name, view]) =>
  h('li', {}, h('a', { href: `#/${name}`, 'data-view': name }, icon(name), view.title))))
element('sign-in').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault()
  const key = element('key').value.trim()
  element('key').value = ''
  enter(() => signIn(key))
})
element('sign-out').addEventListener('click', signOut)
element('skip').addEventListener('click', () => element('view').focus())
access.addEventListener('ended', () => {
  if (access.session) door()
})
addEventListener('hashchange', go)
addEventListener('unhandledrejection', event => notice(event.reason?.message ?? 'Something went wrong.', 'bad'))

if (!keyed()) enter(current)
