/** The service as whoever is signed in: the browser client with the session's cookie and its CSRF token. */

import { connect } from './client/millrace.js'

/**
 * @typedef {{account: string, role: 'viewer' | 'operator', csrf: string}} Session
 * @typedef {Record<string, string | number | string[] | null | undefined>} Query
 */

export { Problem } from './client/millrace.js'

/** Who is signed in; null when nobody is. Fires `ended` when the service does not know the session any more. */
export const access = Object.assign(new EventTarget(), { session: /** @type {Session | null} */ (null) })

export const millrace = connect({ csrf: () => access.session?.csrf ?? '' })
millrace.addEventListener('refused', () => access.dispatchEvent(new Event('ended')))

/** Whether whoever is signed in may change anything. */
export const mayAct = () => access.session?.role !== 'viewer'

/**
 * GET as JSON. Raises Problem for every answer but a success.
 * @param {string} path
 * @param {Query} [query] what is empty is left out; a list is repeated
 * @param {{signal?: AbortSignal, exact?: boolean}} [how] `exact` where the numbers are a user's
 * @returns {Promise<any>}
 */
export const get = (path, query = {}, how = {}) => millrace.get(path, Object.fromEntries(Object.entries(query).filter(([, value]) => value !== '')), how)

/**
 * Anything else, with a JSON body, as JSON.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export const send = (method, path, body) => millrace.send(method, path, body)

/** @param {Query} query */
export function queryOf(query) {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined && each !== null && each !== '') search.append(name, String(each))
  }
  return search.size ? `?${search}` : ''
}
