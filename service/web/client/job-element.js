/** `<millrace-job job-id="…">`: one job, wherever a page wants to show it; with `open` its timeline too. */

import { Card } from './card.js'
import { h, say } from './dom.js'
import { MillraceElement } from './element.js'
import { hasEnded } from './ends.js'
import { Problem } from './http.js'
import { after } from './standing.js'

/** @typedef {import('./types.js').Job} Job */

const EVERY_MS = 1_000

export class MillraceJob extends MillraceElement {
  static observedAttributes = ['job-id']
  /** @type {AbortController | undefined} */
  #running
  /** @type {Card | undefined} */
  #card
  #note = h('p', { class: 'empty' })

  connectedCallback() {
    this.disconnectedCallback()
    const id = this.getAttribute('job-id')
    this.show(this.#note)
    say(this.#note, id ? 'Looking …' : 'No job is named.')
    if (!id) return
    const { signal } = (this.#running = new AbortController())
    const timer = setInterval(() => this.#card?.tick(), EVERY_MS)
    signal.addEventListener('abort', () => clearInterval(timer))
    const look = () => this.client.jobs.get(id).then(job => { if (!signal.aborted) this.#take(job) }, problem => this.#refuse(problem))
    this.client.followAll({
      signal,
      snapshot: look,
      event: event => {
        const job = this.#card?.job
        if (event.job_id === id && job && event.seq > job.last_event_id) this.#take(after(job, event))
      },
    }).catch(problem => this.#refuse(problem))
  }

  disconnectedCallback() {
    this.#running?.abort()
    this.#card?.details?.close()
    this.#card = undefined
  }

  attributeChangedCallback() {
    if (this.isConnected) this.connectedCallback()
  }

  /** @param {Job} job */
  #take(job) {
    const before = this.#card?.job
    if (before && job.last_event_id < before.last_event_id) return
    if (!this.#card) {
      this.#card = new Card({
        millrace: this.client, isReadOnly: this.isReadOnly, took: answer => this.#took(answer), announce: text => this.announce(text),
        forget: () => { this.disconnectedCallback(); this.show(this.#note); say(this.#note, 'This job is deleted.') },
      }, job, 'article')
      this.show(this.#card.element)
      this.#card.near(true)
      if (this.hasAttribute('open')) this.#card.toggle()
      if (job.upload_id) this.client.uploads.get(job.upload_id).then(upload => this.#card?.update(this.#card.job, upload.name ?? ''), () => {})
    }
    this.#card.update(job, this.#card.file)
    if (before && !hasEnded(before) && hasEnded(job)) {
      this.announce(`${job.dataset ?? job.processor}: ${job.state}`)
      this.tell('millrace:ended', { job })
    }
  }

  /** An action may answer with another job, as an undo does. @param {Job} job */
  #took(job) {
    if (job.id === this.getAttribute('job-id')) this.#take(job)
    else this.announce('It is being undone.')
  }

  /** @param {unknown} problem */
  #refuse(problem) {
    this.show(this.#note)
    say(this.#note, problem instanceof Problem ? `${problem.message} ${problem.suggestion}` : String(problem))
  }
}

if (!customElements.get('millrace-job')) customElements.define('millrace-job', MillraceJob)
