/** The HTTP API, with the account's key. */

/**
 * @typedef {object} Progress
 * @property {number} done
 * @property {number | null} total
 * @property {number | null} percent
 * @property {string} phase
 * @property {number | null} rate rows per second
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {string} processor
 * @property {string} state
 * @property {string | null} outcome
 * @property {number} attempt
 * @property {string | null} upload_id
 * @property {string | null} dataset
 * @property {Progress} progress
 * @property {{read: number, inserted: number, updated: number, skipped: number, rejected: number}} counts
 * @property {{code: string, message: string, suggestion?: string} | null} problem
 * @property {'pause' | 'cancel' | 'restart' | null} control what is asked of it and not done yet
 * @property {string | null} cancel_requested_at
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {number} last_event_id
 *
 * @typedef {{row: number, line: number, column: string | null, message: string, suggestion: string, raw: string}} Reject
 * @typedef {{name: string, columns: {name: string, type: string}[], created_at: string}} Dataset
 * @typedef {{name: string, title: string, suffixes: string[]}} Processor
 */

const KEY = 'millrace.key'

/** An answer that is no success; `suggestion` says what to do. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when there was no answer at all
   * @param {string} message
   * @param {string} [suggestion]
   */
  constructor(status, message, suggestion = '') {
    super(message)
    this.status = status
    this.suggestion = suggestion
  }
}

/** Kept for this tab only. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  /** @param {string} value */
  set: value => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
}

/** Fires `refused` when the service does not know the key. */
export const session = new EventTarget()

/**
 * Fetch below /v1. Raises Problem for every answer but a success.
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export async function request(path, init = {}) {
  let response
  try {
    response = await fetch(path, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key.get()}` } })
  } catch (error) {
    if (init.signal?.aborted) throw error
    throw new Problem(0, 'The service does not answer.', 'Is it running? This page tries again by itself.')
  }
  if (response.ok) return response
  throw problemOf(response.status, await response.text())
}

/**
 * Fetch JSON below /v1.
 * @param {string} path
 * @param {Record<string, string | number>} [query]
 * @param {typeof exactly} [reviver] `exactly`, where the numbers are a user's
 * @returns {Promise<any>}
 */
export async function get(path, query = {}, reviver = undefined) {
  const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]))
  const response = await request(`${path}${search.size ? `?${search}` : ''}`)
  return JSON.parse(await response.text(), reviver)
}

/**
 * The problem that a refusal describes.
 * @param {number} status
 * @param {string} body
 */
export function problemOf(status, body) {
  if (status === 401) session.dispatchEvent(new Event('refused'))
  try {
    const told = JSON.parse(body)
    return new Problem(status, told.detail ?? told.title, told.suggestion)
  } catch {
    return new Problem(status, `The service answered ${status}.`)
  }
}

/**
 * JSON.parse turns 9007199254740993 into …992 and 1.10 into 1.1. Where the browser tells the digits, this keeps them,
 * as what JSON.isRawJSON knows.
 * @param {string} _name
 * @param {unknown} value
 * @param {{source?: string}} [context]
 */
export function exactly(_name, value, context) {
  const digits = context?.source
  const isLossy = typeof value === 'number' && digits !== undefined && String(value) !== digits
  return isLossy && 'rawJSON' in JSON ? JSON.rawJSON(digits) : value
}
