/** `<millrace-jobs>`: the jobs in three groups, newest first, but running ones before those that wait, and paused ones last. */

import { announce, arrange, h, say } from './dom.js'
import { number } from './format.js'
import { MillraceJob } from './job.js'
import { hasEnded, live, standing } from './live.js'

/** @typedef {import('./api.js').Job} Job */

/** @type {{name: string, title: string, holds: (job: Job) => boolean}[]} */
const GROUPS = [
  { name: 'active', title: 'Active', holds: job => !hasEnded(job) },
  { name: 'failed', title: 'Failed or cancelled', holds: job => hasEnded(job) && job.state !== 'completed' },
  { name: 'finished', title: 'Finished', holds: job => job.state === 'completed' },
]
const EVERY_MS = 1_000
const SPOKEN_STEP = 25
const SPOKEN = new Set(['pausing', 'paused', 'cancelling', 'completed', 'failed', 'cancelled'])

class MillraceJobs extends HTMLElement {
  /** @type {Map<string, MillraceJob>} */
  #cards = new Map()
  /** @type {Map<string, string>} what was last said aloud of a job */
  #spoken = new Map()
  #isDue = false

  connectedCallback() {
    this.empty = h('p', { class: 'empty' }, 'Looking …')
    this.groups = GROUPS.map(group => {
      const count = h('span', { class: 'count' })
      const list = h('div', { class: 'stack' })
      const section = h('section', { class: 'group', 'data-group': group.name, hidden: true }, h('h3', {}, group.title, ' ', count), list)
      return { ...group, section, count, list }
    })
    this.more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => this.#older() }, 'Show older jobs')
    this.append(this.empty, ...this.groups.map(group => group.section), this.more)
    live.addEventListener('change', () => this.#soon())
    setInterval(() => { if (!document.hidden) this.#cards.forEach(card => card.tick()) }, EVERY_MS)
  }

  /** Many changes in a moment are drawn once. */
  #soon() {
    if (this.#isDue) return
    this.#isDue = true
    requestAnimationFrame(() => {
      this.#isDue = false
      this.#draw()
    })
  }

  #draw() {
    const waits = ({ job }) => ({ queued: 1, paused: 2 })[job.state] ?? 0
    const all = [...live.known.values()].sort((a, b) => waits(a) - waits(b) || (a.job.id < b.job.id ? 1 : -1))
    const focused = document.activeElement
    for (const group of this.groups) {
      const inside = all.filter(({ job }) => group.holds(job))
      group.section.hidden = inside.length === 0
      say(group.count, number(inside.length))
      arrange(group.list, inside.map(({ job }) => this.#card(job.id)))
    }
    // a card that changed its group was out of the page for a moment
    if (focused !== document.activeElement && this.contains(focused)) /** @type {HTMLElement} */ (focused).focus({ preventScroll: true })
    for (const known of all) {
      this.#card(known.job.id).update(known)
      this.#speak(known.job)
    }
    for (const id of this.#cards.keys()) if (!live.known.has(id)) this.#cards.delete(id)
    this.empty.hidden = all.length > 0
    if (live.isLoaded) say(this.empty, 'No jobs yet. Drop a file above, and watch its rows arrive.')
    this.more.hidden = !live.older
  }

  /** @param {string} id */
  #card(id) {
    const card = this.#cards.get(id) ?? new MillraceJob()
    this.#cards.set(id, card)
    return card
  }

  async #older() {
    this.more.disabled = true
    try {
      await live.more()
    } finally {
      this.more.disabled = false
    }
  }

  /**
   * Each quarter, each stop and the end of a job that was seen going on.
   * @param {Job} job
   */
  #speak(job) {
    const step = Math.floor((job.progress.percent ?? 0) / SPOKEN_STEP) * SPOKEN_STEP
    const now = SPOKEN.has(standing(job)) ? standing(job) : `${step} percent`
    const before = this.#spoken.get(job.id)
    this.#spoken.set(job.id, now)
    if (before === undefined || before === now) return
    const rows = `${number(job.counts.inserted + job.counts.updated)} rows, ${number(job.counts.rejected)} rejected`
    announce(`${job.dataset ?? job.processor}: ${now}, ${rows}${job.problem ? `. ${job.problem.message}` : ''}`)
  }
}

customElements.define('millrace-jobs', MillraceJobs)
