/**
 * The account's jobs, kept up to date. Two of them over live streams, all of them by asking now and then: browsers open
 * only six connections to one service, shared by every tab, and uploads need some of them.
 */

import { get, Problem } from './api.js'
import { follow, RESTART_MS } from './stream.js'

/**
 * @typedef {import('./api.js').Job} Job
 * @typedef {import('./stream.js').JobEvent} JobEvent
 * @typedef {{first: JobEvent, last: JobEvent, count: number}} Entry several progress events in a row are one entry
 * @typedef {object} Known
 * @property {Job} job
 * @property {Entry[]} timeline
 * @property {number} seen the last event in `timeline`
 * @property {boolean} isWatched somebody has its details open
 */

export const STREAMS = 2
const PAGE = 50
const SOON_MS = 1_500
const LATER_MS = 6_000
const LONGEST_WAIT_MS = 20_000

const ENDED = new Set(['completed', 'failed', 'cancelled'])
const PHASES = { queued: 'waiting', running: 'importing', retrying: 'backing off' }
const ASKED = { 'job.pause_requested': 'pause', 'job.cancel_requested': 'cancel' }

/** @param {Job} job */
export const hasEnded = job => ENDED.has(job.state)

/**
 * Its state, or what it is about to be: a worker obeys after the chunk in hand.
 * @param {Job} job
 */
export function standing(job) {
  if (!hasEnded(job) && (job.control === 'cancel' || job.cancel_requested_at)) return 'cancelling'
  return job.state === 'running' && job.control === 'pause' ? 'pausing' : job.state
}

/** Fires `change` when a job is new or different, and `line` when the service answers again or no more. */
class Live extends EventTarget {
  /** @type {Map<string, Known>} */
  known = new Map()
  /** @type {Map<string, string>} names of uploaded files by upload id */
  files = new Map()
  /** @type {string | null} where the list of older jobs goes on */
  older = null
  isLoaded = false
  isConnected = true
  /** @type {Map<string, AbortController>} */
  #streams = new Map()
  /** @type {Set<string>} deleted jobs, which an answer on its way may still hold */
  #gone = new Set()
  #isRunning = false
  #failures = 0
  #quietUntil = 0
  #timer = 0

  /** Begin; a hidden page rests, so that its connections are free for others. */
  start() {
    if (this.#isRunning) return
    this.#isRunning = true
    document.addEventListener('visibilitychange', this.#look)
    this.#look()
  }

  stop() {
    this.#isRunning = false
    document.removeEventListener('visibilitychange', this.#look)
    this.#rest()
  }

  /**
   * A job has just been made on this page: show it, and follow it at once.
   * @param {Job} job
   * @param {string} file the name of its file
   */
  add(job, file) {
    if (job.upload_id) this.files.set(job.upload_id, file)
    this.took(job)
  }

  /**
   * The service has answered with a job that was changed here: show it, and follow what becomes of it.
   * @param {Job} job
   */
  took(job) {
    this.#take(job)
    this.#assign()
    this.#schedule()
  }

  /**
   * Somebody opened or closed a job's details: it gets a stream first, and its timeline.
   * @param {string} id
   * @param {boolean} isWatched
   */
  watch(id, isWatched) {
    const known = this.known.get(id)
    if (known) known.isWatched = isWatched
    this.#assign()
  }

  /**
   * A job is deleted.
   * @param {string} id
   */
  forget(id) {
    this.#gone.add(id)
    this.known.delete(id)
    this.#streams.get(id)?.abort()
    this.#streams.delete(id)
    this.#changed()
  }

  /** Older jobs, another page of them. */
  async more() {
    const page = await get('/v1/jobs', { limit: PAGE, ...(this.older ? { cursor: this.older } : {}) })
    this.older = page.next_cursor
    page.jobs.forEach(job => this.#take(job))
  }

  #look = () => {
    if (document.hidden) this.#rest()
    else this.#poll()
  }

  #rest() {
    clearTimeout(this.#timer)
    for (const stream of this.#streams.values()) stream.abort()
    this.#streams.clear()
  }

  async #poll() {
    clearTimeout(this.#timer)
    try {
      await this.#refresh()
      this.#failures = 0
    } catch {
      this.#failures += 1
    }
    this.#setLine(this.#failures === 0 || Date.now() < this.#quietUntil)
    if (!this.#isRunning || document.hidden) return
    this.#assign()
    this.#schedule()
  }

  #schedule() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#poll(), this.#pauseMs())
  }

  #pauseMs() {
    if (this.#failures) return (0.5 + Math.random() / 2) * Math.min(LONGEST_WAIT_MS, SOON_MS * 2 ** this.#failures)
    const isEachStreamed = [...this.known.values()].every(({ job }) => hasEnded(job) || job.state === 'paused' || this.#streams.has(job.id))
    return isEachStreamed ? LATER_MS : SOON_MS
  }

  async #refresh() {
    const before = [...this.known.keys()]
    const page = await get('/v1/jobs', { limit: PAGE })
    const fresh = new Set(page.jobs.map(job => job.id))
    const oldest = page.next_cursor ? page.jobs.at(-1).id : ''
    before.filter(id => id >= oldest && !fresh.has(id)).forEach(id => this.forget(id)) // deleted by somebody else
    if (!this.isLoaded) {
      this.older = page.next_cursor
      if (this.older) page.jobs.push(...(await this.#unfinished()))
    }
    page.jobs.forEach(job => this.#take(job))
    for (const { job } of this.known.values()) {
      const isMissed = !hasEnded(job) && !fresh.has(job.id) && !this.#streams.has(job.id)
      if (isMissed) await this.#lookUp(job.id)
    }
    await this.#nameFiles()
    this.isLoaded = true
    this.#changed()
  }

  /** @param {string} id */
  async #lookUp(id) {
    try {
      this.#take(await get(`/v1/jobs/${id}`))
    } catch (problem) {
      if (!(problem instanceof Problem && problem.status === 404)) throw problem
      this.forget(id)
    }
  }

  /** Jobs that go on although newer ones fill the first page. */
  async #unfinished() {
    const found = []
    for (const state of ['running', 'retrying', 'queued', 'pending', 'paused']) {
      found.push(...(await get('/v1/jobs', { state, limit: PAGE })).jobs)
    }
    return found
  }

  async #nameFiles() {
    const nameless = [...this.known.values()].some(({ job }) => job.upload_id && !this.files.has(job.upload_id))
    if (!nameless) return
    for (const upload of (await get('/v1/uploads', { limit: 1000 })).uploads) this.files.set(upload.id, upload.name ?? '')
    for (const { job } of this.known.values()) {
      if (job.upload_id && !this.files.has(job.upload_id)) this.files.set(job.upload_id, '')
    }
  }

  /**
   * Take in a job as the service described it, unless an event already told more.
   * @param {Job} job
   */
  #take(job) {
    if (this.#gone.has(job.id)) return
    const known = this.known.get(job.id)
    if (!known) this.known.set(job.id, { job, timeline: [], seen: 0, isWatched: false })
    else if (job.last_event_id < known.job.last_event_id || JSON.stringify(job) === JSON.stringify(known.job)) return
    else known.job = job
    this.#changed()
  }

  /** Give the streams to those who need them most: opened ones, then running ones, paused ones last, then the oldest. */
  #assign() {
    if (!this.#isRunning || document.hidden) return
    const urgency = ({ job, isWatched }) => (isWatched ? 0 : 3) + ({ running: 0, paused: 2 }[job.state] ?? 1)
    const wanted = [...this.known.values()]
      .filter(({ job, isWatched, seen }) => !hasEnded(job) || (isWatched && seen < job.last_event_id))
      .sort((a, b) => urgency(a) - urgency(b) || (a.job.id < b.job.id ? -1 : 1))
      .slice(0, STREAMS)
    for (const [id, stream] of this.#streams) {
      if (wanted.some(({ job }) => job.id === id)) continue
      stream.abort()
      this.#streams.delete(id)
    }
    for (const known of wanted) if (!this.#streams.has(known.job.id)) this.#stream(known)
  }

  /** @param {Known} known */
  async #stream(known) {
    const stream = new AbortController()
    const { id } = known.job
    this.#streams.set(id, stream)
    try {
      await follow(id, known.seen, {
        snapshot: job => this.#take(job),
        event: event => this.#happened(known, event),
        line: isConnected => this.#setLine(isConnected),
        restart: () => { this.#quietUntil = Date.now() + RESTART_MS },
      }, stream.signal)
      this.#take(await get(`/v1/jobs/${id}`)) // with its times
    } catch {
      // ended by us, or the next poll meets the same trouble and tells
    }
    if (this.#streams.get(id) === stream) this.#streams.delete(id)
    this.#assign()
  }

  /**
   * @param {Known} known
   * @param {JobEvent} event
   */
  #happened(known, event) {
    if (event.seq > known.seen) {
      const last = known.timeline.at(-1)
      if (last && last.last.type === event.type && event.type === 'job.progressed') {
        last.last = event
        last.count += 1
      } else known.timeline.push({ first: event, last: event, count: 1 })
      known.seen = event.seq
    }
    if (event.seq > known.job.last_event_id) known.job = after(known.job, event)
    this.#changed()
  }

  /** @param {boolean} isConnected */
  #setLine(isConnected) {
    if (this.isConnected === isConnected) return
    this.isConnected = isConnected
    this.dispatchEvent(new Event('line'))
  }

  #changed() {
    this.dispatchEvent(new Event('change'))
  }
}

/**
 * A job as it is after an event that its description did not know yet.
 * @param {Job} job
 * @param {JobEvent} event
 * @returns {Job}
 */
function after(job, event) {
  const { seq, type, at, progress = {}, counts, state, outcome, problem, attempt } = event
  const told = Object.fromEntries(Object.entries({ counts, state, outcome, problem, attempt }).filter(([, value]) => value !== undefined))
  const moved = { ...job, ...told, last_event_id: seq, progress: { ...job.progress, ...progress } }
  if (event.reason === 'retried') Object.assign(moved, { outcome: null, problem: null, finished_at: null, cancel_requested_at: null })
  if (type === 'job.reset') {
    moved.counts = { read: 0, inserted: 0, updated: 0, skipped: 0, rejected: 0 }
    Object.assign(moved.progress, { done: 0, percent: null, rate: null })
  }
  if (type in ASKED) moved.control = ASKED[type]
  else if (type === 'job.resumed' || moved.state === 'paused' || ENDED.has(moved.state)) moved.control = null
  if (type === 'job.started' || type === 'job.progressed') moved.state = 'running'
  if (type === 'job.started') moved.started_at ??= at
  if (state) moved.progress.phase = PHASES[state] ?? state
  if (ENDED.has(moved.state)) moved.finished_at = at
  if (moved.state === 'completed') moved.progress.percent = 100
  return moved
}

export const live = new Live()
