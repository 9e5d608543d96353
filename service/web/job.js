/** `<millrace-job>`: one job as a card, with its details behind a button. */

import { JobControls } from './controls.js'
import { JobDetails } from './details.js'
import { h, say } from './dom.js'
import { duration, moment, number } from './format.js'
import { hasEnded, live, standing } from './live.js'

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {import('./live.js').Known} Known
 */

const FIGURES = ['Done', 'Rows', 'Rejected', 'Rate', 'Phase', 'Time']

export class MillraceJob extends HTMLElement {
  /** @type {Known | undefined} */
  #known
  /** @type {JobDetails | undefined} */
  #details

  /** @param {Known} known */
  update(known) {
    if (!this.firstChild) this.#build(known.job)
    if (this.#known?.job === known.job && this.#seen === known.seen && this.#file === this.#fileOf(known.job)) return
    this.#known = known
    this.#seen = known.seen
    this.#file = this.#fileOf(known.job)
    this.#draw(known.job)
    this.#details?.update(known)
  }
  #seen = -1
  #file = ''

  /** A second has passed. */
  tick() {
    const job = this.#known?.job
    if (job && !hasEnded(job)) say(this.figures.Time, elapsed(job))
  }

  /** @param {Job} job */
  #build(job) {
    const panel = `details-${job.id}`
    this.id = `job-${job.id}`
    this.className = 'card job'
    this.tabIndex = -1 // so that the link to a job brings the focus here
    this.name = h('span', { class: 'name' })
    this.file = h('span', { class: 'file muted' })
    this.state = h('span', { class: 'pill' })
    this.bar = h('progress', { max: 100, 'aria-label': `Progress of ${job.dataset ?? job.processor}` })
    this.figures = Object.fromEntries(FIGURES.map(name => [name, h('dd')]))
    this.problem = h('div', { class: 'problem', hidden: true })
    this.button = h('button', {
      type: 'button', class: 'disclosure', 'aria-expanded': 'false', 'aria-controls': panel, onclick: () => this.#toggle(),
    }, this.name, this.file)
    this.controls = new JobControls(this)
    this.panel = h('div', { class: 'panel', id: panel, hidden: true })
    this.append(
      h('div', { class: 'job-head' }, h('h4', {}, this.button), this.controls.element, this.state),
      this.bar,
      h('dl', { class: 'figures' }, FIGURES.map(name => h('div', { 'data-figure': name }, h('dt', {}, name), this.figures[name]))),
      this.problem,
      this.controls.note,
      this.panel,
    )
  }

  /** @param {Job} job */
  #draw(job) {
    const { progress, counts } = job
    const percent = progress.percent
    this.dataset.state = job.state
    this.classList.toggle('ended', hasEnded(job))
    this.classList.toggle('begun', job.started_at !== null)
    say(this.name, job.dataset ?? job.processor)
    say(this.file, this.#file)
    say(this.state, job.state === 'completed' && job.outcome === 'partial' ? 'completed, with rejects' : standing(job))
    this.state.dataset.state = job.outcome === 'partial' && job.state === 'completed' ? 'partial' : standing(job)
    this.bar.hidden = hasEnded(job)
    if (percent === null && job.state !== 'paused') this.bar.removeAttribute('value')
    else this.bar.value = percent ?? 0
    say(this.figures.Done, percent === null ? '–' : `${Math.floor(percent)} %`)
    for (const name of ['Rows', 'Rejected', 'Rate']) {
      const figure = this.figures[name].parentElement
      if (figure) figure.hidden = job.dataset === null // it reads no file
    }
    say(this.figures.Rows, number(counts.inserted + counts.updated))
    say(this.figures.Rejected, number(counts.rejected))
    this.figures.Rejected.classList.toggle('bad', counts.rejected > 0)
    say(this.figures.Rate, progress.rate && job.state !== 'paused' ? `${number(progress.rate)}/s` : '–')
    say(this.figures.Phase, standing(job) === job.state ? progress.phase : standing(job))
    say(this.figures.Time, elapsed(job))
    this.#drawProblem(job)
    this.controls.update(job)
  }

  /** @param {Job} job */
  #drawProblem({ problem, state }) {
    this.problem.hidden = !problem || state === 'completed'
    if (problem) this.problem.replaceChildren(h('strong', {}, problem.message), problem.suggestion ? h('span', {}, ` ${problem.suggestion}`) : '')
  }

  #toggle() {
    const isOpen = this.panel.hidden
    this.panel.hidden = !isOpen
    this.button.setAttribute('aria-expanded', String(isOpen))
    if (!this.#known) return
    if (isOpen && !this.#details) {
      this.#details = new JobDetails(this.#known.job.id)
      this.panel.append(this.#details.element)
    }
    if (isOpen) this.#details?.update(this.#known)
    live.watch(this.#known.job.id, isOpen)
  }

  /** @param {Job} job */
  #fileOf(job) {
    const name = (job.upload_id && live.files.get(job.upload_id)) || job.processor
    return hasEnded(job) && job.finished_at ? `${name} · ${moment(job.finished_at)}` : name
  }
}

/**
 * How long a job took or has been taking, from its first start.
 * @param {Job} job
 */
function elapsed(job) {
  if (!job.started_at) return '–'
  const until = job.finished_at ? Date.parse(job.finished_at) : Date.now()
  return duration((until - Date.parse(job.started_at)) / 1000)
}

customElements.define('millrace-job', MillraceJob)
