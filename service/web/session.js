/** Signing in and out: a key is given once, for a session whose cookie no script can read. */

import { access, get, Problem, send } from './api.js'

/**
 * Whoever is signed in already; null if nobody is.
 * @returns {Promise<import('./api.js').Session | null>}
 */
export async function current() {
  try {
    return taken(await get('/v1/session'))
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) return null
    throw problem
  }
}

/**
 * Sign in. Raises Problem, of status 401 if the service does not know the key.
 * @param {string} key
 */
export async function signIn(key) {
  return taken(await send('POST', '/v1/session', { key }))
}

/** Sign out; nothing of the account stays in this page. */
export async function signOut() {
  await send('DELETE', '/v1/session').catch(() => null) // it may have ended by itself
  location.replace('/')
}

/** The key of a link such as `/#key=mr_…`, which goes from the address bar at once; empty if there is none. */
export function keyFromLink() {
  const given = /^#key=(.+)$/.exec(location.hash)?.[1]
  if (!given) return ''
  history.replaceState(null, '', location.pathname + location.search)
  try {
    return decodeURIComponent(given)
  } catch {
    return given
  }
}

/** @param {any} told */
function taken(told) {
  access.session = { account: told.account, role: told.role, csrf: told.csrf_token }
  return access.session
}
