/**
 * The browser client of Millrace: plain ES modules, for pages of any origin that `MILLRACE_CORS_ORIGINS` names.
 *
 *     import { connect } from 'https://millrace.example/client/millrace.js'
 *     const millrace = connect({ key })
 *     const { job } = await millrace.upload(file, { processor: 'csv', dataset: 'contacts' }).done
 *     const ended = await millrace.follow(job.id, { event: event => console.log(event.type, event.counts) })
 *
 * `elements.js`, beside this, has the custom elements. What each method answers is in `types.js`.
 */

import { Http, Problem } from './http.js'
import { datasetsOf, flowsOf, jobsOf, rulesOf, schedulesOf, uploadsOf } from './resources.js'
import { queryOf, Transfer, Turns } from './transfer.js'

export { Problem, Transfer }
export { exactly } from './http.js'
export { hasEnded } from './ends.js'
export { save } from './resources.js'

/**
 * @typedef {import('./http.js').Access & {pollMs?: number, firstMs?: number}} Connection
 * `pollMs` is how often to look where event streams are blocked, 2 s by default; a stream that brings nothing for
 * `firstMs`, 8 s by default, counts as blocked.
 */

const PREVIEWED = 1024 * 1024
const AT_ONCE = 3
const POLL_MS = 2_000
const FIRST_MS = 8_000

/**
 * A client of one service, with a key, or with the session of a browser that is logged in.
 * @param {Connection} [connection]
 */
export function connect(connection = {}) {
  return new Millrace(connection)
}

/** Fires `refused` when the service does not know the key or session (any more). */
export class Millrace extends EventTarget {
  #http
  #pace
  /** @type {import('./hub.js').Hub | undefined} with the first follower */
  #hub
  #turns = new Turns(AT_ONCE)

  /** @param {Connection} connection */
  constructor({ pollMs = POLL_MS, firstMs = FIRST_MS, ...access }) {
    super()
    const http = new Http(access)
    this.#http = http
    this.#pace = { pollMs, firstMs }
    http.addEventListener('refused', () => this.dispatchEvent(new Event('refused')))
    this.jobs = jobsOf(http)
    this.datasets = datasetsOf(http)
    this.uploads = uploadsOf(http)
    this.flows = flowsOf(http)
    this.schedules = schedulesOf(http)
    this.rules = rulesOf(http)
  }

  /** Where the service is. */
  get url() {
    return this.#http.url
  }

  /** Whether this tab holds the stream of all jobs that the tabs of this browser share. */
  get isLeading() {
    return this.#hub?.isLeading ?? false
  }

  /**
   * Fetch a path of the service that has no method here. Raises Problem for every answer but a success.
   * @param {string} path
   * @param {RequestInit & {query?: Record<string, unknown>}} [init]
   */
  request(path, init) {
    return this.#http.request(path, init)
  }

  /**
   * The same, as JSON.
   * @param {string} path
   * @param {Record<string, unknown>} [query]
   * @param {{signal?: AbortSignal, exact?: boolean}} [how] `exact` keeps digits that JavaScript's numbers cannot hold
   */
  get(path, query, how) {
    return this.#http.get(path, query, how)
  }

  /**
   * Send a change as JSON.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [json]
   * @param {Record<string, unknown>} [query]
   */
  send(method, path, json, query) {
    return this.#http.send(method, path, { json, query })
  }

  /**
   * Send a file; with a `processor` its job starts by itself. It can be paused, survives cuts, and goes on after a
   * reload once the same file is chosen again.
   * @param {File} file
   * @param {import('./transfer.js').UploadOptions} [options]
   */
  upload(file, options) {
    return new Transfer(this.#http, this.#turns, file, options)
  }

  /** Uploads to this service that this browser has begun and not ended; choose their files again to go on. */
  async unfinishedUploads() {
    const { unfinished } = await import('./unfinished.js')
    return unfinished().filter(({ url }) => url === this.url)
  }

  /**
   * Follow a job until it has ended, however often the connection breaks; each event comes once and in order. Resolves
   * to the job. Rejects with a Problem that trying again does not mend, or when the signal aborts.
   * @param {string} jobId
   * @param {import('./types.js').Follower} [follower]
   */
  async follow(jobId, follower = {}) {
    const { follow } = await import('./follow.js')
    return follow(this.#http, jobId, follower, this.#pace)
  }

  /**
   * Follow all jobs of the account until the signal aborts. Tabs of one browser share one stream.
   * @param {import('./types.js').AccountFollower} follower
   */
  async followAll(follower) {
    const { Hub } = await import('./hub.js')
    this.#hub ??= new Hub(this.#http, this.#pace)
    return this.#hub.follow(follower)
  }

  /**
   * What an import would make of a file that is here (its first MiB is sent), or of an upload. Nothing is stored.
   * @param {File | string} source a file, or the id of an upload
   * @param {{processor?: string, dataset?: string, options?: Record<string, unknown>, scope?: 'sample' | 'file', signal?: AbortSignal}} [asked]
   * @returns {Promise<import('./types.js').Preview>}
   */
  async preview(source, { signal, ...asked } = {}) {
    const answer = typeof source === 'string'
      ? await this.#http.send('POST', '/v1/previews', { json: { upload_id: source, ...asked }, signal })
      : await (await this.#http.request('/v1/previews', {
          method: 'POST', body: source.slice(0, PREVIEWED), signal,
          headers: { 'Content-Type': source.type || 'application/octet-stream' },
          query: { name: source.name, ...(source.size > PREVIEWED ? { cut: 'yes' } : {}), ...queryOf(/** @type {any} */ (asked)) },
        })).json()
    if (answer.state === undefined) return answer
    const job = await this.follow(answer.job_id, { signal }) // it takes longer than the service lets an answer wait
    if (job.state === 'completed') return { .../** @type {any} */ (job.output), job_id: job.id }
    throw new Problem(422, job.problem?.code ?? 'conflict', job.problem?.message ?? 'The preview was cancelled.', job.problem?.suggestion)
  }

  /** What this installation can do. @returns {Promise<import('./types.js').Processor[]>} */
  async processors() {
    return (await this.#http.get('/v1/processors')).processors
  }

  /** @param {{from?: string, to?: string, by?: 'hour' | 'day' | 'week', signal?: AbortSignal}} [asked] @returns {Promise<Record<string, any>>} */
  stats({ signal, ...query } = {}) {
    return this.#http.get('/v1/stats', query, { signal })
  }

  /**
   * Ask again and again: `for await (const stats of millrace.every(() => millrace.stats()))`. Rests while the page is
   * hidden, and waits longer while the service does not answer. Ends when `signal` aborts; rejects with a Problem that
   * trying again does not mend.
   * @template T
   * @param {() => Promise<T>} ask
   * @param {{ms?: number, signal?: AbortSignal, line?: (connected: boolean) => void}} [how]
   * @returns {AsyncGenerator<T, void, void>}
   */
  async *every(ask, how) {
    yield* (await import('./every.js')).every(ask, how)
  }
}
