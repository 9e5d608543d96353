/** Requests to the service, with a key or a session, and the problems it answers with. */

/** An answer that is no success. `code` is one of the README's errors; `suggestion` says what to do. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when there was no answer at all
   * @param {string} code
   * @param {string} message
   * @param {string} [suggestion]
   * @param {number} [retryAfterMs] how long the service asks to wait
   */
  constructor(status, code, message, suggestion = '', retryAfterMs = 0) {
    super(message)
    this.name = 'Problem'
    this.status = status
    this.code = code
    this.suggestion = suggestion
    this.retryAfterMs = retryAfterMs
  }

  /** Whether the same request may succeed a little later. */
  get isPassing() {
    return PASSING.has(this.status)
  }
}

const PASSING = new Set([0, 408, 425, 429, 500, 502, 503, 504])
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])
const ABSENT = new Problem(0, 'no_answer', 'The service does not answer.', 'Is it running, and is this computer online?')

/**
 * @typedef {object} Access
 * @property {string} [url] where the service is; by default where this module came from
 * @property {string} [key] sent as a Bearer token; without one the browser sends its session cookie
 * @property {string | (() => string)} [csrf] the token of the session, sent along with every change
 */

/** One service, as one account. Fires `refused` when it does not know who asks. */
export class Http extends EventTarget {
  #access
  #base

  /** @param {Access} access */
  constructor(access) {
    super()
    this.#access = access
    this.#base = new URL(access.url ?? new URL('/', import.meta.url), location.href)
  }

  /** Where the service is, without a slash at the end. */
  get url() {
    return this.#base.href.replace(/\/+$/, '')
  }

  /** What tells this account's streams from others of the same browser. Never sent or stored as it is. */
  get identity() {
    const { key, csrf } = this.#access
    return key ?? (typeof csrf === 'function' ? csrf() : csrf) ?? ''
  }

  /** @returns {RequestCredentials} */
  get credentials() {
    if (this.#access.key) return 'omit'
    return this.#base.origin === location.origin ? 'same-origin' : 'include'
  }

  /**
   * The whole address of a path below the service.
   * @param {string} path
   * @param {Record<string, unknown>} [query] undefined and null are left out, a list is repeated
   */
  address(path, query = {}) {
    const url = new URL(/^https?:/.test(path) ? path : this.url + path)
    for (const [name, value] of Object.entries(query)) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== undefined && each !== null) url.searchParams.append(name, String(each))
      }
    }
    return url.href
  }

  /**
   * The headers that say who asks.
   * @param {string} method
   * @returns {Record<string, string>}
   */
  identification(method) {
    const { key, csrf } = this.#access
    if (key) return { Authorization: `Bearer ${key}` }
    const token = typeof csrf === 'function' ? csrf() : csrf
    return token && !SAFE.has(method) ? { 'X-CSRF-Token': token } : {}
  }

  /**
   * Fetch a path of the service. Raises Problem for every answer but a success.
   * @param {string} path
   * @param {RequestInit & {query?: Record<string, unknown>}} [init]
   * @returns {Promise<Response>}
   */
  async request(path, { query, ...init } = {}) {
    const headers = new Headers(init.headers)
    for (const [name, value] of Object.entries(this.identification(init.method ?? 'GET'))) headers.set(name, value)
    let response
    try {
      response = await fetch(this.address(path, query), { cache: 'no-store', ...init, headers, credentials: this.credentials })
    } catch (error) {
      if (init.signal?.aborted) throw init.signal.reason
      throw ABSENT
    }
    if (response.ok) return response
    throw this.problem(response.status, await response.text().catch(() => ''), response.headers.get('Retry-After'))
  }

  /**
   * Fetch JSON. The numbers of `exact` answers are a user's: those that JavaScript cannot hold keep their digits.
   * @param {string} path
   * @param {Record<string, unknown>} [query]
   * @param {{signal?: AbortSignal, exact?: boolean}} [how]
   * @returns {Promise<any>}
   */
  async get(path, query = {}, { signal, exact = false } = {}) {
    const response = await this.request(path, { query, signal, headers: { Accept: 'application/json' } })
    return JSON.parse(await response.text(), exact ? exactly : undefined)
  }

  /**
   * Send a change, with JSON if there is any, and read the JSON of the answer.
   * @param {string} method
   * @param {string} path
   * @param {{query?: Record<string, unknown>, json?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [what]
   * @returns {Promise<any>}
   */
  async send(method, path, { query, json, headers = {}, signal } = {}) {
    const has = json !== undefined
    const response = await this.request(path, {
      method, query, signal, body: has ? JSON.stringify(json) : undefined,
      headers: has ? { ...headers, 'Content-Type': 'application/json' } : headers,
    })
    const text = await response.text()
    return text ? JSON.parse(text) : undefined
  }

  /**
   * The problem that a refusal describes.
   * @param {number} status
   * @param {string} body
   * @param {string | null} [retryAfter]
   */
  problem(status, body, retryAfter) {
    if (status === 0) return ABSENT
    if (status === 401) this.dispatchEvent(new Event('refused'))
    const wait = Number(retryAfter) * 1000 || 0
    try {
      const told = JSON.parse(body)
      return new Problem(status, told.code ?? '', told.detail ?? told.title, told.suggestion, wait)
    } catch {
      return new Problem(status, '', `The service answered ${status}.`, '', wait)
    }
  }
}

/**
 * JSON.parse turns 9007199254740993 into …992 and 1.10 into 1.1. Where the browser tells the digits, this keeps them,
 * as what JSON.isRawJSON knows.
 * @param {string} _name
 * @param {any} value
 * @param {{source?: string}} [context]
 */
export function exactly(_name, value, context) {
  const digits = context?.source
  const isLossy = typeof value === 'number' && digits !== undefined && String(value) !== digits
  return isLossy && 'rawJSON' in JSON ? /** @type {any} */ (JSON).rawJSON(digits) : value
}

/**
 * Wait; rejects as soon as `signal` aborts.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => { clearTimeout(timer); reject(signal?.reason) }
    const timer = setTimeout(() => { signal?.removeEventListener('abort', stop); resolve() }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/**
 * How long to wait before try number `tries`: doubling, half fixed and half random, so that pages cut off together come
 * back one by one.
 * @param {number} tries from 0
 * @param {number} firstMs
 * @param {number} longestMs
 */
export function backOff(tries, firstMs = 1_000, longestMs = 30_000) {
  return (0.5 + Math.random() / 2) * Math.min(longestMs, firstMs * 2 ** Math.min(tries, 10))
}
