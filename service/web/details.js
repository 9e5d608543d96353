/** What a job's card shows when it is opened: how it went, and the rows it refused. */

import { get } from './api.js'
import { h, say, show } from './dom.js'
import { moment, number, plural } from './format.js'

/**
 * @typedef {import('./live.js').Known} Known
 * @typedef {import('./live.js').Entry} Entry
 * @typedef {import('./api.js').Reject} Reject
 */

const PAGE = 50

export class JobDetails {
  #rejects = 0
  #isLoading = false
  /** @type {number | null} the row that the next page of rejects goes on behind */
  #cursor = 0

  /** @param {string} jobId */
  constructor(jobId) {
    this.jobId = jobId
    this.timeline = h('ol', { class: 'timeline' })
    this.title = h('h5', {}, 'Rejected rows')
    this.list = h('ol', { class: 'rejects', tabIndex: 0, 'aria-label': 'Rejected rows' })
    this.note = h('p', { class: 'muted' })
    this.more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => this.#load() }, 'Show more')
    this.element = h('div', { class: 'details' },
      h('section', {}, h('h5', {}, 'Timeline'), this.timeline, h('p', { class: 'muted id' }, 'Job ', h('code', {}, jobId))),
      h('section', {}, this.title, this.note, this.list, this.more),
    )
  }

  /** @param {Known} known */
  update({ job, timeline }) {
    show(this.timeline, timeline.map(entry => h('li', { 'data-type': entry.last.type }, h('time', {}, moment(entry.last.at)), h('span', {}, told(entry)))))
    this.total = job.counts.rejected
    say(this.title, `Rejected rows (${number(this.total)})`)
    if (this.total === 0) say(this.note, 'None.')
    // While a first page is not full, what comes in is shown at once; later it is asked for.
    if (this.total > this.#rejects && this.#rejects < PAGE) this.#load()
    else this.#finish()
  }

  async #load() {
    if (this.#isLoading) return
    this.#isLoading = true
    try {
      const page = await get(`/v1/jobs/${this.jobId}/rejects`, { limit: PAGE, cursor: String(this.#cursor) })
      this.list.append(...page.rejects.map(item))
      this.#rejects += page.rejects.length
      this.#cursor = page.rejects.at(-1)?.row ?? this.#cursor
      this.#finish()
    } catch (problem) {
      say(this.note, problem.message)
      this.more.hidden = false
    } finally {
      this.#isLoading = false
    }
  }

  #finish() {
    if (this.#rejects > 0) say(this.note, this.#rejects < this.total ? `The first ${number(this.#rejects)}:` : '')
    this.note.hidden = this.note.textContent === ''
    this.more.hidden = this.#rejects >= this.total
  }
}

/**
 * A refused row: where, why, what to do, and what stood there.
 * @param {Reject} reject
 */
function item(reject) {
  const where = [`Row ${number(reject.row)}`, `line ${number(reject.line)}`, ...(reject.column ? [`column ${reject.column}`] : [])]
  return h('li', {},
    h('p', { class: 'where' }, where.join(' · ')),
    h('p', {}, h('strong', {}, reject.message), ` ${reject.suggestion}`),
    h('pre', {}, reject.raw || '(an empty line)'),
  )
}

/**
 * What happened, in words.
 * @param {Entry} entry
 */
function told({ last, count }) {
  const why = last.problem ? `: ${last.problem.message}` : ''
  switch (last.type) {
    case 'job.created': return 'Created and queued'
    case 'job.started': return last.attempt > 1 ? `Started, attempt ${last.attempt}` : 'Started'
    case 'job.progressed': return `${plural(count, 'chunk')} committed, ${number(last.counts.read)} rows read`
    case 'job.retrying': return `Will be tried again${last.run_at ? ` at ${moment(last.run_at)}` : ''}${why}`
    case 'job.pause_requested': return 'Pause asked for'
    case 'job.paused': return 'Paused'
    case 'job.resumed': return 'Resumed'
    case 'job.cancel_requested': return `Cancel asked for${last.rows === 'remove' ? ', rows to be removed' : ''}`
    case 'job.prioritized': return `Priority set to ${last.priority}`
    case 'job.reset': return 'Begun again: what it had stored is removed'
    case 'job.requeued': return last.reason === 'retried' ? `Tried again, from ${last.from === 'start' ? 'the start' : 'where it stopped'}` : { worker_lost: 'Its worker was lost; back in the queue', back_off_over: 'Back in the queue' }[last.reason] ?? 'Handed back to the queue'
    case 'job.completed': return 'Completed'
    case 'job.failed': return `Failed${why}`
    case 'job.cancelled': return 'Cancelled'
    default: return last.type
  }
}
