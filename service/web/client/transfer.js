/** A file on its way to the service: what a page sees of it, and what it can do to it. */

import { Problem } from './http.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').Upload} Upload
 * @typedef {{sent: number, total: number, rate: number | null}} Sent bytes, and bytes per second
 * @typedef {'waiting' | 'sending' | 'paused' | 'storing' | 'done' | 'failed' | 'aborted'} TransferState
 *
 * @typedef {object} UploadOptions
 * @property {string} [processor] start a job with it once the file is there; it needs a `dataset` then
 * @property {string} [dataset]
 * @property {Record<string, unknown>} [options] of the processor
 * @property {string} [name] instead of the file's own
 * @property {number} [parts] how many of a large file are sent at the same time
 * @property {number} [priority]
 * @property {Record<string, unknown>} [metadata] of the job
 * @property {string} [run_at]
 * @property {string} [dedupe_key]
 * @property {boolean} [again] import it although the same was imported before
 */

const LEAST_PART = 8 * 1024 * 1024

/** Lets a few requests with a body run at a time: a browser has six connections to a service, for all tabs together. */
export class Turns {
  #free
  /** @type {(() => void)[]} */
  #waiting = []

  /** @param {number} free */
  constructor(free) {
    this.#free = free
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async take(work) {
    if (this.#free > 0) this.#free -= 1
    else await new Promise(resolve => this.#waiting.push(() => resolve(undefined)))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free += 1
    }
  }
}

/**
 * Fires `progress` (its `detail` is the same as `progress`) and `state`. It may be left alone: `done` settles in the end,
 * and a reload goes on with what has come if the same file is chosen with the same options.
 */
export class Transfer extends EventTarget {
  /** @type {TransferState} */
  state = 'waiting'
  /** @type {Problem | null} why it failed */
  problem = null
  /** Whether it goes on with an earlier upload. */
  isResumed = false
  /** @type {import('./tus.js').Sending | undefined} */
  #sending

  /**
   * @param {import('./http.js').Http} http
   * @param {Turns} turns
   * @param {File} file
   * @param {UploadOptions} [options]
   */
  constructor(http, turns, file, { parts = 3, name = file.name, ...job } = {}) {
    super()
    this.http = http
    this.turns = turns
    this.file = file
    this.name = name
    this.query = queryOf(job)
    this.fingerprint = JSON.stringify([http.url, name, file.size, file.lastModified, this.query])
    this.wanted = Math.max(1, Math.min(parts, Math.floor(file.size / LEAST_PART)))
    /** @type {Promise<{upload: Upload, job?: Job}>} once the file is stored; `job` if a processor was named */
    this.done = this.#run()
    this.done.catch(() => {}) // `state` and `problem` tell as well
  }

  /** How much is out. @returns {Sent} */
  get progress() {
    return this.#sending?.progress ?? { sent: 0, total: this.file.size, rate: null }
  }

  /** Whether nothing becomes of it any more. */
  get isOver() {
    return this.state === 'done' || this.state === 'failed' || this.state === 'aborted'
  }

  /** Stop for now; nothing that has come is lost. */
  pause() {
    if (this.state !== 'sending' && this.state !== 'waiting') return
    this.become('paused')
    this.#sending?.stop()
  }

  /** Go on. */
  resume() {
    if (this.state !== 'paused') return
    this.become('sending')
    this.#sending?.wake()
  }

  /** Give it up, and delete what has come. */
  abort() {
    if (this.isOver) return
    this.become('aborted')
    this.#sending?.stop()
    this.#sending?.wake()
    this.#sending?.drop()
  }

  async #run() {
    try {
      const { Sending } = await import('./tus.js')
      this.#sending = new Sending(this)
      const found = await this.#sending.run()
      this.become('done')
      return found
    } catch (error) {
      if (this.state === 'aborted') throw new DOMException('The upload was aborted.', 'AbortError')
      this.problem = error instanceof Problem ? error : new Problem(0, 'upload_failed', String(error))
      this.#sending?.stop()
      if (!this.problem.isPassing) this.#sending?.release()
      this.become('failed')
      throw this.problem
    }
  }

  /** Of what sends it. */
  tell() {
    this.dispatchEvent(new CustomEvent('progress', { detail: this.progress }))
  }

  /** Likewise. @param {TransferState} state */
  become(state) {
    if (this.state === state || this.isOver || (this.state === 'paused' && state === 'storing')) return
    this.state = state
    this.dispatchEvent(new Event('state'))
  }
}

/**
 * The parameters of a job. Options that are no text go as JSON.
 * @param {Omit<UploadOptions, 'parts' | 'name'>} job
 * @returns {Record<string, string>}
 */
export function queryOf({ options = {}, ...job }) {
  const given = { ...options, ...job }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]))
}
