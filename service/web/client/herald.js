/** Tells of jobs that go on: aloud to who listens, as an event to the page, and through the system when one ends. */

import { hasEnded } from './ends.js'
import { number } from './format.js'
import { notify } from './notify.js'
import { nameOf, standing } from './standing.js'

/** @typedef {import('./types.js').Job} Job */

const STEP = 25
const MOST = 3 // of more jobs at a time only their ends are said
const SAID = new Set(['pausing', 'paused', 'cancelling', 'completed', 'failed', 'cancelled'])

export class Herald {
  /** @type {Map<string, string>} what was last said of a job that goes on */
  #said = new Map()

  /** @param {import('./element.js').MillraceElement} element on whose behalf it tells */
  constructor(element) {
    this.element = element
  }

  /** Each quarter, each stop and the end. @param {Job} job */
  hear(job) {
    const step = Math.floor((job.progress.percent ?? 0) / STEP) * STEP
    const now = SAID.has(standing(job)) ? standing(job) : `${step} percent`
    const before = this.#said.get(job.id)
    if (hasEnded(job)) this.delete(job.id)
    else this.#said.set(job.id, now)
    if (before === undefined || before === now) return
    if (hasEnded(job)) this.end(job)
    else if (this.size <= MOST) this.#say(job, now)
  }

  /** @param {Job} job */
  end(job) {
    notify(job)
    this.element.tell('millrace:ended', { job })
    this.#say(job, job.state)
  }

  get size() {
    return this.#said.size
  }

  clear() {
    this.#said.clear()
  }

  /** @param {string} id */
  delete(id) {
    this.#said.delete(id)
  }

  /** @param {Job} job @param {string} now */
  #say(job, now) {
    this.element.announce(`${nameOf(job)}: ${now}, ${number(job.counts.inserted + job.counts.updated)} rows, ${number(job.counts.rejected)} rejected${job.problem ? `. ${job.problem.message}` : ''}`)
  }
}
