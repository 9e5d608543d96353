/** What a job's card shows when it is open: why it stands there, how it went, who ran it, what it refused. */

import { h, say } from './dom.js'
import { hasEnded } from './ends.js'
import { duration, moment, number, plural } from './format.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').JobEvent} JobEvent
 * @typedef {import('./types.js').Reject} Reject
 */

const TAIL = 300 // events at the end of a long story
const MOST_ENTRIES = 200
const MOST_REJECTS = 50
const AGAIN_MS = 5_000

export class Details {
  #millrace
  /** @type {Job} */
  #job
  #seen = 0
  #isLoading = false
  /** @type {{element: HTMLLIElement, type: string, count: number}[]} */
  #entries = []
  #state = ''
  #timer

  /** @param {import('./millrace.js').Millrace} millrace @param {Job} job @param {HTMLElement} card */
  constructor(millrace, job, card) {
    this.#millrace = millrace
    this.#job = job
    this.card = card
    this.why = h('p', { class: 'why', role: 'status' })
    this.timeline = h('ol', { class: 'timeline' })
    this.attempts = h('tbody')
    this.table = h('table', { hidden: true }, h('thead', {}, h('tr', {}, ['Try', 'Began', 'Took', 'End', 'Worker'].map(text => h('th', { scope: 'col' }, text)))), this.attempts)
    this.rejects = h('div', { class: 'rejects' })
    this.open = h('button', { type: 'button', hidden: true, onclick: () => this.#openRejects() })
    this.note = h('p', { class: 'problem', role: 'alert', hidden: true })
    const facts = [['Job', job.id], ['Processor', job.processor], ['Created', moment(job.created_at)], ...(job.flow_id ? [['Step', job.step ?? '']] : [])]
    const heading = card.localName === 'li' ? 'h4' : 'h3' // one below the card's own
    this.element = h('div', { class: 'details' }, this.why,
      h('section', {}, h(heading, {}, 'Timeline'), this.timeline),
      h('section', {}, h(heading, {}, 'Tries'), this.table, this.open, this.rejects,
        h('dl', { class: 'facts' }, facts.map(([title, text]) => h('div', {}, h('dt', {}, title), h('dd', {}, text))))),
      this.note)
    this.#timer = setInterval(() => { if (!document.hidden && !hasEnded(this.#job)) this.#explain() }, AGAIN_MS)
    this.#look()
  }

  /** @param {Job} job */
  update(job) {
    this.#job = job
    this.#look()
  }

  close() {
    clearInterval(this.#timer)
  }

  #look() {
    const { rejected } = this.#job.counts
    this.open.hidden = rejected === 0
    say(this.open, `Look at ${plural(rejected, 'rejected row')}`)
    if (this.#job.state !== this.#state) {
      this.#state = this.#job.state
      this.#explain()
      this.#try(async () => {
        const { attempts } = await this.#millrace.jobs.attempts(this.#job.id)
        this.table.hidden = attempts.length === 0
        this.attempts.replaceChildren(...attempts.map(tried => h('tr', {}, [
          number(tried.number), moment(tried.started_at), duration(tried.duration_s), tried.result ?? 'running', tried.worker,
        ].map(text => h('td', {}, text)))))
      })
    }
    if (this.#seen < this.#job.last_event_id && !this.#isLoading) this.#load()
  }

  #explain() {
    this.#try(async () => {
      const { message, suggestion } = await this.#millrace.jobs.explain(this.#job.id)
      const isForPeople = suggestion && !/ \/v1\//.test(suggestion) // some say which request to send
      say(this.why, isForPeople ? `${message} ${suggestion}` : message)
    })
  }

  async #load() {
    this.#isLoading = true
    await this.#try(async () => {
      while (this.#seen < this.#job.last_event_id) {
        const from = Math.max(this.#seen, this.#job.last_event_id - TAIL)
        if (from > this.#seen && !this.#entries.length) this.#add({ seq: 0, type: '', at: this.#job.created_at }, `${plural(from, 'earlier event')} left out`)
        const { events } = await this.#millrace.jobs.events(this.#job.id, { after: from, limit: TAIL })
        if (!events.length) break
        for (const event of events) this.#add(event)
        this.#seen = events.at(-1)?.seq ?? this.#seen
      }
    })
    this.#isLoading = false
  }

  /** Chunks in a row are one entry. @param {JobEvent} event @param {string} [text] */
  #add(event, text) {
    const last = this.#entries.at(-1)
    const isMore = last && last.type === 'job.progressed' && event.type === last.type
    const entry = isMore ? last : { element: h('li', { 'data-type': event.type }), type: event.type, count: 0 }
    entry.count += 1
    entry.element.replaceChildren(h('time', { dateTime: event.at }, moment(event.at)), h('span', {}, text ?? told(event, entry.count)))
    if (isMore) return
    this.#entries.push(entry)
    this.timeline.append(entry.element)
    if (this.#entries.length > MOST_ENTRIES) this.#entries.shift()?.element.remove()
  }

  /** The page may have an editor for them; else they are listed here. */
  #openRejects() {
    const asked = new CustomEvent('millrace:rejects', { bubbles: true, composed: true, cancelable: true, detail: { job: this.#job } })
    if (!this.card.dispatchEvent(asked)) return
    this.#try(async () => {
      const { rejects } = await this.#millrace.jobs.rejects(this.#job.id, { limit: MOST_REJECTS })
      this.rejects.replaceChildren(
        h('p', { class: 'muted' }, rejects.length < this.#job.counts.rejected ? `The first ${number(rejects.length)}:` : ''),
        h('div', { class: 'scroller', tabIndex: 0, role: 'region', 'aria-label': 'Rejected rows' }, h('ol', {}, rejects.map(item))))
    })
  }

  /** @param {() => Promise<void>} ask */
  async #try(ask) {
    try {
      await ask()
      this.note.hidden = true
    } catch (problem) {
      this.note.hidden = false
      say(this.note, problem instanceof Error ? problem.message : String(problem))
    }
  }
}

/** A refused row: where, why, what to do, and what stood there. @param {Reject} reject */
function item(reject) {
  const where = [`Row ${number(reject.row)}`, `line ${number(reject.line)}`, ...(reject.column ? [`column ${reject.column}`] : [])]
  return h('li', {}, h('p', { class: 'muted' }, where.join(' · ')), h('p', {}, h('strong', {}, reject.message), ` ${reject.suggestion}`), h('pre', {}, reject.raw || '(an empty line)'))
}

/** What happened, in words. @param {JobEvent} event @param {number} count how many in a row */
function told(event, count) {
  const why = event.problem ? `: ${event.problem.message}` : ''
  switch (event.type) {
    case 'job.created': return 'Created and queued'
    case 'job.started': return event.attempt > 1 ? `Started, try ${event.attempt}` : 'Started'
    case 'job.progressed': return `${plural(count, 'chunk')} committed, ${number(event.counts.read)} rows read`
    case 'job.retrying': return `Will be tried again${event.run_at ? ` at ${moment(event.run_at)}` : ''}${why}`
    case 'job.pause_requested': return 'Pause asked for'
    case 'job.paused': return 'Paused'
    case 'job.resumed': return 'Resumed'
    case 'job.cancel_requested': return `Cancel asked for${event.rows === 'remove' ? ', rows to be removed' : ''}`
    case 'job.prioritized': return `Priority set to ${event.priority}`
    case 'job.reset': return event.message ?? 'Begun again: what it had stored is removed'
    case 'job.requeued': return event.reason === 'retried' ? `Tried again, from ${event.from === 'start' ? 'the start' : 'where it stopped'}`
      : event.reason === 'worker_lost' ? 'Its worker was lost; back in the queue' : 'Back in the queue'
    case 'job.completed': return 'Completed'
    case 'job.failed': return `Failed${why}`
    case 'job.cancelled': return 'Cancelled'
    default: return event.type
  }
}
