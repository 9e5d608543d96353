/** What can be done to a job, as the buttons on its card. */

import { get, request } from './api.js'
import { ask } from './ask.js'
import { announce, h, say } from './dom.js'
import { plural } from './format.js'
import { hasEnded, live, standing } from './live.js'

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {object} Action
 * @property {string} label
 * @property {(job: Job) => boolean} fits
 * @property {(job: Job) => Promise<string>} [choose] asks first; '' is a no
 * @property {(path: string, chosen: string) => Promise<Response>} send
 */

/** @param {string} path */
const post = path => request(path, { method: 'POST' })

/** @type {Action[]} */
const ACTIONS = [
  { label: 'Pause', fits: job => !hasEnded(job) && job.state !== 'paused' && !job.control, send: path => post(`${path}/pause`) },
  { label: 'Resume', fits: job => job.control !== 'cancel' && (job.state === 'paused' || standing(job) === 'pausing'), send: path => post(`${path}/resume`) },
  { label: 'Cancel', fits: job => !hasEnded(job) && job.control !== 'cancel', choose: keepOrRemove, send: (path, rows) => post(`${path}/cancel?rows=${rows}`) },
  { label: 'Retry', fits: job => job.state === 'failed' || job.state === 'cancelled', send: path => post(`${path}/retry`) },
  { label: 'Delete', fits: hasEnded, choose: really, send: path => request(path, { method: 'DELETE' }) },
]

export class JobControls {
  /** @type {Job | undefined} */
  #job
  #isAsking = false

  /** @param {HTMLElement} card */
  constructor(card) {
    this.card = card
    this.buttons = ACTIONS.map(action => h('button', { type: 'button', class: 'quiet', onclick: () => this.#press(action) }, action.label))
    this.element = h('div', { class: 'controls', role: 'group' })
    this.element.append(...this.buttons)
    this.note = h('p', { class: 'problem', role: 'alert', hidden: true })
  }

  /** @param {Job} job */
  update(job) {
    if (standing(job) !== (this.#job && standing(this.#job))) this.#complain('')
    this.#job = job
    this.#draw()
  }

  #draw() {
    const job = /** @type {Job} */ (this.#job)
    const focused = document.activeElement // looked up now: browsers forget an element that is hidden
    this.element.setAttribute('aria-label', `Actions on ${nameOf(job)}`)
    ACTIONS.forEach((action, index) => {
      const button = /** @type {HTMLButtonElement} */ (this.buttons[index])
      button.hidden = !action.fits(job)
      button.setAttribute('aria-label', `${action.label} ${nameOf(job)}`)
      button.setAttribute('aria-disabled', String(this.#isAsking)) // a button that is really disabled drops the focus
    })
    if (this.buttons.some(button => button === focused && button.hidden)) this.#refocus()
  }

  /** The pressed button is gone: its successor takes the focus, or else the card. */
  #refocus() {
    (this.buttons.find(button => !button.hidden) ?? this.card).focus()
  }

  /** @param {Action} action */
  async #press(action) {
    const job = this.#job
    if (!job || this.#isAsking) return
    const chosen = action.choose ? await action.choose(job) : 'yes'
    if (!chosen) return
    this.#isAsking = true
    this.#complain('')
    this.#draw()
    try {
      const answer = await action.send(`/v1/jobs/${job.id}`, chosen)
      if (answer.status === 204) this.#leave(job)
      else live.took(await answer.json())
    } catch (problem) {
      this.#complain(`${problem.message} ${problem.suggestion ?? ''}`)
      if (problem.status === 409) get(`/v1/jobs/${job.id}`).then(now => live.took(now), () => {}) // it had moved on
      if (problem.status === 404) this.#leave(job)
    } finally {
      this.#isAsking = false
      this.#draw()
    }
  }

  /** @param {Job} job */
  #leave(job) {
    const next = this.card.nextElementSibling ?? this.card.previousElementSibling
    live.forget(job.id)
    announce(`The job of ${nameOf(job)} is deleted.`)
    if (next instanceof HTMLElement) next.focus()
  }

  /** @param {string} text */
  #complain(text) {
    this.note.hidden = !text
    say(this.note, text)
  }
}

/** @param {Job} job */
function nameOf(job) {
  return job.dataset ?? job.processor
}

/** @param {Job} job */
function keepOrRemove(job) {
  const stored = job.counts.inserted + job.counts.updated
  const text = stored ? `It has stored ${plural(stored, 'row')} so far. What should become of them? If you keep them, a retry goes on where this stopped.` : 'It has stored no rows yet.'
  return ask(`Cancel the import into ${nameOf(job)}?`, text, [
    { value: 'keep', label: 'Keep rows' },
    { value: 'remove', label: 'Remove rows' },
    { value: '', label: 'Do not cancel', isSafe: true },
  ])
}

/** @param {Job} job */
function really(job) {
  return ask(`Delete this job of ${nameOf(job)}?`, 'Its record goes out of sight, with its timeline and rejected rows. The rows it stored stay in the dataset.', [
    { value: 'yes', label: 'Delete job' },
    { value: '', label: 'Keep it', isSafe: true },
  ])
}
