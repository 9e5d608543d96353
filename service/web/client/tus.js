/** Sends a file by tus 1.0: creates, appends, asks, joins. Loaded with the first upload of a page. */

import { Problem } from './http.js'
import { Patience, STOPPED } from './patience.js'
import { put, SPOKEN } from './put.js'
import { forget, recall, remember } from './unfinished.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').Upload} Upload
 * @typedef {import('./unfinished.js').Part} Part
 * @typedef {object} Host the transfer that this works for
 * @property {import('./http.js').Http} http
 * @property {import('./transfer.js').Turns} turns
 * @property {File} file
 * @property {string} name
 * @property {Record<string, string>} query
 * @property {string} fingerprint
 * @property {number} wanted parts
 * @property {boolean} isResumed
 * @property {import('./transfer.js').TransferState} state
 * @property {boolean} isOver
 * @property {(state: import('./transfer.js').TransferState) => void} become
 * @property {() => void} tell
 */

const SMALL_PIECE = 960 * 1024 // below what nginx lets through by default
const RATE_MS = 5_000
const MOST_STARTS = 3
const JOINED = Symbol('its parts were put together already')

export class Sending {
  #host
  /** @type {Part[]} */
  #parts = []
  #patience
  #isRemembered = false
  #piece = Infinity
  /** @type {{at: number, sent: number}[]} */
  #samples = []
  #place = ''
  #jobPlace = ''

  /** @param {Host} host */
  constructor(host) {
    this.#host = host
    this.#patience = new Patience(host, () => this.progress.sent)
  }

  /** @returns {Promise<{upload: Upload, job?: Job}>} */
  run() {
    return alone(this.#host.fingerprint, async isAlone => {
      this.#isRemembered = isAlone
      this.#plan()
      await this.#send()
      return await this.#finish()
    })
  }

  /** How much is out. */
  get progress() {
    const sent = this.#parts.reduce((sum, part) => sum + (part.offset ?? 0) + (part.moving ?? 0), 0)
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    const seconds = first && last ? (last.at - first.at) / 1000 : 0
    return { sent, total: this.#host.file.size, rate: first && last && seconds > 0.2 ? Math.max(0, last.sent - first.sent) / seconds : null }
  }

  /** Break off what is on its way. */
  stop() {
    this.#patience.stop()
  }

  /** The pause is over. */
  wake() {
    this.#samples = []
    this.#patience.wake()
  }

  /** What has come is no longer wanted: it need not wait until it expires. */
  drop() {
    this.release()
    for (const { url } of this.#parts) if (url) this.#host.http.request(url, { method: 'DELETE', headers: SPOKEN }).catch(() => {})
  }

  /** It is not to be gone on with. */
  release() {
    if (this.#isRemembered) forget(this.#host.fingerprint)
  }

  #plan() {
    const known = this.#isRemembered ? recall(this.#host.fingerprint) : null
    this.#host.isResumed = known !== null
    const step = Math.ceil(this.#host.file.size / this.#host.wanted)
    this.#parts = known ?? Array.from({ length: this.#host.wanted }, (_, index) =>
      ({ start: index * step, end: Math.min(this.#host.file.size, (index + 1) * step), url: '', offset: 0 }))
  }

  async #send() {
    if (this.#host.state === 'waiting') this.#host.become('sending')
    try {
      await Promise.all(this.#parts.map(part => this.#sendPart(part)))
      await this.#patience.gate()
      if (this.#parts.length > 1) await this.#patience.persist(() => this.#join())
    } catch (error) {
      if (error !== JOINED) throw error
      await this.#findJoined()
    }
  }

  /** @param {Part} part */
  async #sendPart(part) {
    let isAt = part.url === ''
    let starts = 0
    await this.#patience.persist(async () => {
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

  /** @param {Part} part */
  async #create(part) {
    const isPart = this.#parts.length > 1
    const answer = await this.#patience.ended(signal => this.#host.http.request('/v1/uploads', {
      method: 'POST', signal, query: isPart ? {} : this.#host.query,
      headers: {
        ...SPOKEN, 'Upload-Length': String(part.end - part.start), 'Upload-Metadata': this.#metadata(), ...(isPart ? { 'Upload-Concat': 'partial' } : {}),
      },
    }))
    part.url = answer.headers.get('Location') ?? ''
    part.offset = 0
    this.#note(part, answer.headers)
    if (this.#isRemembered) remember(this.#host.fingerprint, this.#parts)
  }

  /** How much of a part has come. @param {Part} part */
  async #ask(part) {
    try {
      const { headers } = await this.#patience.ended(signal => this.#host.http.request(part.url, { method: 'HEAD', signal, headers: SPOKEN }))
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
    const body = this.#host.file.slice(part.start + from, Math.min(part.end, part.start + from + this.#piece))
    const answer = await this.#host.turns.take(async () => {
      if (this.#host.state === 'paused' || this.#host.isOver) throw STOPPED
      return put(this.#host.http, part.url, from, body, {
        stops: this.#patience.stops, stopped: STOPPED, moved: bytes => { part.moving = bytes; if (bytes) this.#tell() },
      })
    })
    part.moving = 0
    if (answer.status >= 200 && answer.status < 300) {
      part.offset = Number(answer.headers('Upload-Offset'))
      this.#note(part, { get: answer.headers })
      this.#tell()
      return
    }
    const problem = this.#host.http.problem(answer.status, answer.text, answer.headers('Retry-After'))
    if (problem.status === 413 && !problem.code && this.#piece > 1024) {
      this.#piece = this.#piece === Infinity ? SMALL_PIECE : this.#piece / 4 // of a proxy, which wants less at a time
      throw new Problem(503, 'too_large', problem.message)
    }
    if (problem.status === 0) await this.#isReadable()
    await this.#lost(part, problem)
  }

  /** What to make of a refused part: one that is gone begins anew. Else raises what it was. @param {Part} part @param {unknown} error */
  async #lost(part, error) {
    if (!(error instanceof Problem) || (error.status !== 404 && error.status !== 410)) throw error
    if (this.#parts.length > 1) {
      const was = await this.#host.http.get(part.url).catch(() => null)
      if (was?.expired_reason === 'joined') throw JOINED
    }
    part.url = ''
    part.offset = 0
  }

  /** Put the parts together. */
  async #join() {
    this.#host.become('storing')
    const urls = this.#parts.map(part => new URL(this.#host.http.address(part.url)).pathname)
    try {
      const { headers } = await this.#patience.ended(signal => this.#host.http.request('/v1/uploads', {
        method: 'POST', signal, query: this.#host.query,
        headers: { ...SPOKEN, 'Upload-Concat': `final;${urls.join(' ')}`, 'Upload-Metadata': this.#metadata() },
      }))
      this.#place = headers.get('Location') ?? ''
      this.#jobPlace = headers.get('Job-Location') ?? ''
    } catch (error) {
      if (!(error instanceof Problem) || ![404, 409, 410].includes(error.status)) throw error
      const was = await this.#host.http.get(this.#parts[0]?.url ?? '').catch(() => null)
      if (was?.expired_reason === 'joined') throw JOINED // by a request whose answer was lost
      await Promise.all(this.#parts.map(part => this.#sendPart(part))) // the service lost something of them
      throw error
    }
    return true
  }

  /** The answer that told where the whole file is was lost: it is the newest of its name and size. */
  async #findJoined() {
    const { uploads } = await this.#host.http.get('/v1/uploads', { limit: 100 })
    const found = uploads.find(/** @param {Upload} upload */ upload =>
      upload.protocol === 'tus' && upload.name === this.#host.name && upload.size_bytes === this.#host.file.size && upload.expired_reason !== 'joined')
    if (!found) throw new Problem(410, 'upload_gone', 'The parts of this upload were used for another one.', 'Send the file again.')
    this.#place = found.links.self
    this.#jobPlace = found.jobs[0]?.links.self ?? ''
  }

  async #finish() {
    this.#host.become('storing')
    const upload = await this.#settled(this.#place)
    const job = this.#jobPlace ? await this.#settled(this.#jobPlace) : undefined
    this.release()
    return job ? { upload, job } : { upload }
  }

  /** @param {string} place @returns {Promise<any>} */
  async #settled(place) {
    let found
    await this.#patience.persist(async () => {
      found = await this.#patience.ended(signal => this.#host.http.get(place, {}, { signal }))
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
    const told = { filename: this.#host.name, ...(this.#host.file.type ? { filetype: this.#host.file.type } : {}) }
    return Object.entries(told).map(([key, value]) => `${key} ${base64(value)}`).join(',')
  }

  async #isReadable() {
    try {
      await this.#host.file.slice(0, 1).arrayBuffer()
    } catch {
      throw new Problem(422, 'file_changed', 'The file was changed or is no longer there.', 'Choose it again.')
    }
  }

  #tell() {
    const now = performance.now()
    this.#samples.push({ at: now, sent: this.progress.sent })
    while (this.#samples.length > 2 && now - (this.#samples[0]?.at ?? now) > RATE_MS) this.#samples.shift()
    this.#host.tell()
  }
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
