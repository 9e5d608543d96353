/** The account's jobs in a page, kept up to date by the one stream, and bounded however many there are. */

import { hasEnded } from './ends.js'
import { Problem } from './http.js'
import { after } from './standing.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').JobEvent} JobEvent
 */

const PAGE = 200
const MOST = 1_000
const FEW = 8
const SOON_MS = 150
const RECONCILE_MS = 60_000

/**
 * Fires `change` when `jobs` has changed (`detail` is the id of the one job that did, or null), `happened` for each
 * event (`detail`), `ended` with a job of which an event told and that had ended when it was first looked at, `line`
 * when the service answers again or no more, and `problem` if it refuses.
 */
export class Board extends EventTarget {
  /** @type {Map<string, Job>} */
  jobs = new Map()
  /** @type {Map<string, string>} names of files by upload id */
  files = new Map()
  /** @type {string | null} where the list of older jobs goes on */
  older = null
  isLoaded = false
  isConnected = true
  /** @type {Set<string>} deleted jobs, which an answer on its way may still hold */
  #gone = new Set()
  /** @type {Map<string, boolean>} ids of jobs to look up, and whether an event told of what is not known yet */
  #unknown = new Map()
  /** @type {Set<string>} looked at right now: they stay, whatever comes */
  #pinned = new Set()
  /** @type {AbortController | undefined} */
  #running
  #isDue = false
  #isWanted = false

  /** @param {import('./millrace.js').Millrace} millrace @param {number} [most] jobs that it holds */
  constructor(millrace, most = MOST) {
    super()
    this.millrace = millrace
    this.most = most
  }

  start() {
    if (this.#running) return
    const { signal } = (this.#running = new AbortController())
    this.millrace.followAll({
      signal,
      snapshot: jobs => { this.#takeAll(jobs); this.#load(signal) },
      event: event => this.#happened(event),
      line: connected => { this.isConnected = connected; this.#fire('line', connected) },
    }).catch(problem => this.#fire('problem', problem))
    const reconcile = setInterval(() => { if (!document.hidden) this.#load(signal) }, RECONCILE_MS)
    signal.addEventListener('abort', () => clearInterval(reconcile))
  }

  stop() {
    this.#running?.abort()
    this.#running = undefined
  }

  /** The service has answered with a job. @param {Job} job */
  took(job) {
    const known = this.jobs.get(job.id)
    if (this.#take(job)) {
      this.#fire('change', job.id)
      if (!known || !hasEnded(known)) this.#lookBehind(job)
    }
    if (job.upload_id && !this.files.has(job.upload_id)) this.#soon()
  }

  /** A job is deleted. @param {string} id */
  forget(id) {
    this.#gone.add(id)
    if (this.#gone.size > this.most) this.#gone.delete([...this.#gone][0] ?? '')
    if (this.jobs.delete(id)) this.#fire('change', null)
  }

  /** @param {string} id @param {boolean} isPinned */
  pin(id, isPinned) {
    if (isPinned) this.#pinned.add(id)
    else this.#pinned.delete(id)
  }

  /** Look at a job anew. @param {string} id */
  look(id, isHeard = false) {
    this.#unknown.set(id, isHeard || (this.#unknown.get(id) ?? false))
    this.#soon()
  }

  /** Another page of older jobs. */
  async more() {
    const page = await this.millrace.jobs.list({ limit: PAGE, cursor: this.older })
    this.older = this.jobs.size + page.jobs.length >= this.most ? null : page.next_cursor
    this.#takeAll(page.jobs)
  }

  /** The newest jobs as they are; what should be among them and is not was deleted by somebody. @param {AbortSignal} signal */
  async #load(signal) {
    try {
      const known = [...this.jobs.keys()]
      const page = await this.millrace.jobs.list({ limit: PAGE, signal })
      const fresh = new Set(page.jobs.map(job => job.id))
      const oldest = page.next_cursor ? (page.jobs.at(-1)?.id ?? '') : ''
      for (const id of known) if (id >= oldest && !fresh.has(id)) this.look(id)
      if (!this.isLoaded) this.older = page.next_cursor
      this.isLoaded = true
      this.#takeAll(page.jobs)
    } catch (problem) {
      if (!signal.aborted && problem instanceof Problem && !problem.isPassing) this.#fire('problem', problem)
    }
  }

  /** @param {JobEvent} event */
  #happened(event) {
    const id = event.job_id
    if (!id) return
    const job = this.jobs.get(id)
    if (job && event.seq > job.last_event_id) {
      const moved = after(job, event)
      this.jobs.set(id, moved)
      this.#fire('change', id)
      this.#lookBehind(moved)
    } else if (!job && !this.#gone.has(id)) this.look(id, true)
    this.#fire('happened', event)
  }

  /** The end of an undo or a correction has changed another job. @param {Job} job */
  #lookBehind(job) {
    const touched = job.corrects ?? (job.processor === 'undo' ? job.input.job_id : null)
    if (touched && hasEnded(job)) this.look(String(touched))
  }

  /** @param {Job[]} jobs */
  #takeAll(jobs) {
    for (const job of jobs) this.#take(job)
    if (jobs.some(job => job.upload_id && !this.files.has(job.upload_id))) this.#soon()
    this.#trim()
    this.#fire('change', null)
  }

  /** Take in a job as the service described it, unless an event already told more. @param {Job} job */
  #take(job) {
    if (this.#gone.has(job.id) || job.queue === 'preview') return false
    const known = this.jobs.get(job.id)
    if (known && job.last_event_id < known.last_event_id) return false
    this.jobs.set(job.id, job)
    if (!known) this.#trim()
    return true
  }

  /** Of too many, those go that ended, the oldest first; then the oldest that wait. */
  #trim() {
    let over = this.jobs.size - this.most
    if (over <= 0) return
    for (const [id, { upload_id }] of [...this.jobs].sort(([a, one], [b, other]) =>
      Number(hasEnded(other)) - Number(hasEnded(one)) || (a < b ? -1 : 1))) {
      if (over <= 0) break
      if (this.#pinned.has(id)) continue
      this.jobs.delete(id)
      if (upload_id) this.files.delete(upload_id)
      over -= 1
    }
  }

  /** What is unknown is looked up together a little later. */
  #soon() {
    this.#isWanted = true
    if (this.#isDue) return
    this.#isDue = true
    setTimeout(async () => {
      this.#isWanted = false
      await this.#lookUp().catch(() => {})
      this.#isDue = false
      if (this.#isWanted) this.#soon()
    }, SOON_MS)
  }

  async #lookUp() {
    const ids = [...this.#unknown]
    this.#unknown.clear()
    if (ids.length > FEW && this.#running) await this.#load(this.#running.signal)
    for (const [id, isHeard] of ids.slice(0, FEW)) {
      try {
        const job = await this.millrace.jobs.get(id)
        const isNew = !this.jobs.has(id)
        this.took(job)
        if (isHeard && isNew && hasEnded(job) && this.jobs.has(id)) this.#fire('ended', job)
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 404) this.forget(id)
      }
    }
    await this.#nameFiles()
  }

  async #nameFiles() {
    const nameless = [...this.jobs.values()].flatMap(({ upload_id }) => (upload_id && !this.files.has(upload_id) ? [upload_id] : []))
    if (!nameless.length) return
    const { uploads } = await this.millrace.uploads.list({ limit: Math.min(1_000, Math.max(50, nameless.length * 2)) })
    const found = new Map(uploads.map(upload => [upload.id, upload.name ?? '']))
    for (const id of nameless) this.files.set(id, found.get(id) ?? '')
    this.#fire('change', null)
  }

  /** @param {string} type @param {unknown} detail */
  #fire(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }
}
