/** Uploads a file by tus 1.0, in parts side by side if it is large, and goes on where it stopped: after a cut, a pause, a reload. */

import { backOff, pause, Problem } from './http.js'
import { forget, recall, remember } from './unfinished.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').Upload} Upload
 * @typedef {{sent: number, total: number, rate: number | null}} Sent bytes, and bytes per second
 * @typedef {'waiting' | 'sending' | 'paused' | 'storing' | 'done' | 'failed' | 'aborted'} TransferState
 * @typedef {import('./unfinished.js').Part} Part
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

export const LEAST_PART = 8 * 1024 * 1024
const SMALL_PIECE = 960 * 1024 // below what nginx lets through by default
const STALL_MS = 45_000
const RATE_MS = 5_000
const MOST_FAILURES = 12 // in a row and without a byte in between: some five minutes
const MOST_STARTS = 3
const SPOKEN = { 'Tus-Resumable': '1.0.0' }
const STOPPED = Symbol('stopped on purpose')
const JOINED = Symbol('its parts were put together already')

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
 * A file on its way. Fires `progress` (its `detail` is the same as `progress`) and `state`.
 * It may be left alone: `done` settles in the end, and a reload goes on with what has come if the same file is chosen
 * with the same options.
 */
export class Transfer extends EventTarget {
  /** @type {TransferState} */
  state = 'waiting'
  /** @type {Problem | null} why it failed */
  problem = null
  /** Whether it goes on with an earlier upload. */
  isResumed = false
  #http
  #turns
  #query
  /** @type {Part[]} */
  #parts = []
  /** @type {Set<() => void>} requests to break off, and waits to end */
  #stops = new Set()
  #wake = () => {}
  #isRemembered = false
  #piece = Infinity
  /** @type {{at: number, sent: number}[]} */
  #samples = []
  #place = ''
  #jobPlace = ''

  /**
   * @param {import('./http.js').Http} http
   * @param {Turns} turns
   * @param {File} file
   * @param {UploadOptions} [options]
   */
  constructor(http, turns, file, { parts = 3, name = file.name, ...job } = {}) {
    super()
    this.#http = http
    this.#turns = turns
    this.file = file
    this.name = name
    this.#query = queryOf(job)
    this.fingerprint = JSON.stringify([http.url, name, file.size, file.lastModified, this.#query])
    this.wanted = Math.max(1, Math.min(parts, Math.floor(file.size / LEAST_PART)))
    /** @type {Promise<{upload: Upload, job?: Job}>} once the file is stored; `job` if a processor was named */
    this.done = this.#run()
    this.done.catch(() => {}) // `state` and `problem` tell as well
  }

  /** How much is out. @returns {Sent} */
  get progress() {
    const sent = this.#parts.reduce((sum, part) => sum + (part.offset ?? 0) + (part.moving ?? 0), 0)
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    const seconds = first && last ? (last.at - first.at) / 1000 : 0
    return { sent, total: this.file.size, rate: first && last && seconds > 0.2 ? Math.max(0, last.sent - first.sent) / seconds : null }
  }

  /** Stop for now; nothing that has come is lost. */
  pause() {
    if (this.state !== 'sending' && this.state !== 'waiting') return
    this.#become('paused')
    this.#stop()
  }

  /** Go on. */
  resume() {
    if (this.state !== 'paused') return
    this.#samples = []
    this.#become('sending')
    this.#wake()
  }

  /** Give it up, and delete what has come. */
  abort() {
    if (this.#isOver) return
    this.#become('aborted')
    this.#stop()
    this.#wake()
    this.#release()
    for (const { url } of this.#parts) {
      if (url) this.#http.request(url, { method: 'DELETE', headers: SPOKEN }).catch(() => {}) // else it expires
    }
  }

  get #isOver() {
    return this.state === 'done' || this.state === 'failed' || this.state === 'aborted'
  }

  async #run() {
    await null // so that who made this can listen first
    try {
      return await alone(this.fingerprint, async isAlone => {
        this.#isRemembered = isAlone
        this.#plan()
        await this.#send()
        return await this.#finish()
      })
    } catch (error) {
      if (this.state === 'aborted') throw new DOMException('The upload was aborted.', 'AbortError')
      this.problem = error instanceof Problem ? error : new Problem(0, 'upload_failed', String(error))
      this.#stop()
      if (!this.problem.isPassing) this.#release()
      this.#become('failed')
      throw this.problem
    }
  }

  #plan() {
    const known = this.#isRemembered ? recall(this.fingerprint) : null
    this.isResumed = known !== null
    const step = Math.ceil(this.file.size / this.wanted)
    this.#parts = known ?? Array.from({ length: this.wanted }, (_, index) =>
      ({ start: index * step, end: Math.min(this.file.size, (index + 1) * step), url: '', offset: 0 }))
  }

  async #send() {
    if (this.state === 'waiting') this.#become('sending')
    try {
      await Promise.all(this.#parts.map(part => this.#sendPart(part)))
      await this.#gate()
      if (this.#parts.length > 1) await this.#persist(() => this.#join())
    } catch (error) {
      if (error !== JOINED) throw error
      await this.#findJoined()
    }
  }

  /** @param {Part} part */
  async #sendPart(part) {
    let isAt = part.url === ''
    let starts = 0
    await this.#persist(async () => {
      if (!part.url) {
        if ((starts += 1) > MOST_STARTS) throw new Problem(410, 'upload_gone', 'The service drops this upload again and again.')
        await this.#create(part)
      } else if (!isAt) await this.#ask(part)
      isAt = false // until the answer is there
      while (part.url && (part.offset ?? 0) < part.end - part.start) await this.#patch(part)
      isAt = true
      return Boolean(part.url)
    })
  }

  /**
   * Do a step until it says that it is done, through everything that passes.
   * @param {() => Promise<boolean>} step
   */
  async #persist(step) {
    let [failures, before] = [0, -1]
    for (;;) {
      await this.#gate()
      try {
        if (await step()) return
        continue
      } catch (error) {
        if (error === STOPPED) continue
        if (!(error instanceof Problem) || !(error.isPassing || error.status === 409)) throw error
        const { sent } = this.progress
        failures = sent > before ? 0 : failures + 1
        before = Math.max(before, sent)
        if (failures >= MOST_FAILURES) throw error
        await this.#rest(error.retryAfterMs || backOff(failures, 500))
      }
    }
  }

  /** Wait while it is paused. */
  async #gate() {
    while (this.state === 'paused') await new Promise(resolve => { this.#wake = () => resolve(undefined) })
    if (this.#isOver) throw STOPPED
  }

  /** Wait, shorter if the browser is online again. @param {number} ms */
  async #rest(ms) {
    const ending = new AbortController()
    const end = () => ending.abort()
    this.#stops.add(end)
    addEventListener('online', end)
    await pause(ms, ending.signal).catch(() => {})
    removeEventListener('online', end)
    this.#stops.delete(end)
  }

  /** @param {Part} part */
  async #create(part) {
    const isPart = this.#parts.length > 1
    const answer = await this.#ended(signal => this.#http.request('/v1/uploads', {
      method: 'POST', signal, query: isPart ? {} : this.#query,
      headers: {
        ...SPOKEN, 'Upload-Length': String(part.end - part.start), 'Upload-Metadata': this.#metadata(), ...(isPart ? { 'Upload-Concat': 'partial' } : {}),
      },
    }))
    part.url = answer.headers.get('Location') ?? ''
    part.offset = 0
    this.#note(part, answer.headers)
    if (this.#isRemembered) remember(this.fingerprint, this.#parts)
  }

  /** How much of a part has come. @param {Part} part */
  async #ask(part) {
    try {
      const { headers } = await this.#ended(signal => this.#http.request(part.url, { method: 'HEAD', signal, headers: SPOKEN }))
      part.offset = Number(headers.get('Upload-Offset'))
      this.#note(part, headers)
      this.#tell()
    } catch (error) {
      await this.#lost(part, error)
    }
  }

  /** Send the rest of a part, or a piece of it where no more is let through. @param {Part} part */
  async #patch(part) {
    const from = part.offset ?? 0
    const body = this.file.slice(part.start + from, Math.min(part.end, part.start + from + this.#piece))
    const answer = await this.#turns.take(async () => {
      if (this.state === 'paused' || this.#isOver) throw STOPPED
      return this.#put(part, from, body)
    })
    part.moving = 0
    if (answer.status >= 200 && answer.status < 300) {
      part.offset = Number(answer.headers('Upload-Offset'))
      this.#note(part, { get: answer.headers })
      this.#tell()
      return
    }
    const problem = this.#http.problem(answer.status, answer.text, answer.headers('Retry-After'))
    if (problem.status === 413 && !problem.code && this.#piece > 1024) {
      this.#piece = this.#piece === Infinity ? SMALL_PIECE : this.#piece / 4 // of a proxy, which wants less at a time
      throw new Problem(503, 'too_large', problem.message)
    }
    if (problem.status === 0) await this.#isReadable()
    await this.#lost(part, problem)
  }

  /**
   * A request with a body. Only XMLHttpRequest tells how much of it is out.
   * @param {Part} part
   * @param {number} from
   * @param {Blob} body
   * @returns {Promise<{status: number, text: string, headers: (name: string) => string | null}>}
   */
  #put(part, from, body) {
    return new Promise((resolve, reject) => {
      const sending = new XMLHttpRequest()
      const stall = () => sending.abort()
      let timer = setTimeout(stall, STALL_MS)
      const stop = () => { reject(STOPPED); sending.abort() }
      this.#stops.add(stop)
      sending.open('PATCH', this.#http.address(part.url))
      sending.withCredentials = this.#http.credentials === 'include'
      const headers = { ...this.#http.identification('PATCH'), ...SPOKEN, 'Upload-Offset': String(from), 'Content-Type': 'application/offset+octet-stream' }
      for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value)
      sending.upload.onprogress = ({ loaded }) => {
        clearTimeout(timer)
        if (loaded < body.size) timer = setTimeout(stall, STALL_MS)
        part.moving = loaded
        this.#tell()
      }
      sending.onloadend = () => {
        clearTimeout(timer)
        this.#stops.delete(stop)
        part.moving = 0
        resolve({ status: sending.status, text: sending.responseText, headers: name => sending.getResponseHeader(name) })
      }
      sending.send(body)
    })
  }

  /** What to make of a refused part: one that is gone begins anew. Else raises what it was. @param {Part} part @param {unknown} error */
  async #lost(part, error) {
    if (!(error instanceof Problem) || (error.status !== 404 && error.status !== 410)) throw error
    if (this.#parts.length > 1) {
      const was = await this.#http.get(part.url).catch(() => null)
      if (was?.expired_reason === 'joined') throw JOINED
    }
    part.url = ''
    part.offset = 0
  }

  /** Put the parts together. */
  async #join() {
    this.#become('storing')
    const urls = this.#parts.map(part => new URL(this.#http.address(part.url)).pathname)
    try {
      const { headers } = await this.#ended(signal => this.#http.request('/v1/uploads', {
        method: 'POST', signal, query: this.#query,
        headers: { ...SPOKEN, 'Upload-Concat': `final;${urls.join(' ')}`, 'Upload-Metadata': this.#metadata() },
      }))
      this.#place = headers.get('Location') ?? ''
      this.#jobPlace = headers.get('Job-Location') ?? ''
    } catch (error) {
      const [part] = this.#parts
      if (part && error instanceof Problem) await this.#lost(part, error)
      throw error
    }
    return true
  }

  /** The answer that told where the whole file is was lost: it is the newest of its name and size. */
  async #findJoined() {
    const { uploads } = await this.#http.get('/v1/uploads', { limit: 100 })
    const found = uploads.find(/** @param {Upload} upload */ upload =>
      upload.protocol === 'tus' && upload.name === this.name && upload.size_bytes === this.file.size && upload.expired_reason !== 'joined')
    if (!found) throw new Problem(410, 'upload_gone', 'The parts of this upload were used for another one.', 'Send the file again.')
    this.#place = found.links.self
    this.#jobPlace = found.jobs[0]?.links.self ?? ''
  }

  async #finish() {
    this.#become('storing')
    const upload = await this.#settled(this.#place)
    const job = this.#jobPlace ? await this.#settled(this.#jobPlace) : undefined
    this.#release()
    this.#become('done')
    return job ? { upload, job } : { upload }
  }

  /** @param {string} place @returns {Promise<any>} */
  async #settled(place) {
    let found
    await this.#persist(async () => {
      found = await this.#ended(signal => this.#http.get(place, {}, { signal }))
      return true
    })
    return found
  }

  /** @param {Part} part @param {{get(name: string): string | null}} headers */
  #note(part, headers) {
    if (this.#parts.length === 1) this.#place = part.url
    this.#jobPlace = headers.get('Job-Location') ?? this.#jobPlace
  }

  #metadata() {
    const told = { filename: this.name, ...(this.file.type ? { filetype: this.file.type } : {}) }
    return Object.entries(told).map(([key, value]) => `${key} ${base64(value)}`).join(',')
  }

  async #isReadable() {
    try {
      await this.file.slice(0, 1).arrayBuffer()
    } catch {
      throw new Problem(422, 'file_changed', 'The file was changed or is no longer there.', 'Choose it again.')
    }
  }

  /** Run a request that `pause` and `abort` break off. @template T @param {(signal: AbortSignal) => Promise<T>} ask */
  async #ended(ask) {
    const stopping = new AbortController()
    const stop = () => stopping.abort()
    this.#stops.add(stop)
    try {
      return await ask(stopping.signal)
    } catch (error) {
      throw stopping.signal.aborted ? STOPPED : error
    } finally {
      this.#stops.delete(stop)
    }
  }

  #stop() {
    for (const stop of [...this.#stops]) stop()
  }

  #release() {
    if (this.#isRemembered) forget(this.fingerprint)
  }

  #tell() {
    const now = performance.now()
    this.#samples.push({ at: now, sent: this.progress.sent })
    while (this.#samples.length > 2 && now - (this.#samples[0]?.at ?? now) > RATE_MS) this.#samples.shift()
    this.dispatchEvent(new CustomEvent('progress', { detail: this.progress }))
  }

  /** @param {TransferState} state */
  #become(state) {
    if (this.state === state || this.#isOver || (this.state === 'paused' && state === 'storing')) return
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

/**
 * Hold a fingerprint while working, so that two tabs do not write one upload; says whether nobody else has it.
 * @template T
 * @param {string} fingerprint
 * @param {(isAlone: boolean) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function alone(fingerprint, work) {
  if (!navigator.locks) return work(true)
  return navigator.locks.request(`millrace upload ${fingerprint}`, { ifAvailable: true }, lock => work(lock !== null))
}

/** Text of any language as base64. @param {string} text */
function base64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), byte => String.fromCharCode(byte)).join(''))
}
