/** Remembers, in this browser, which uploads have begun: where their parts are, and no key. */

/**
 * @typedef {object} Part
 * @property {number} start
 * @property {number} end
 * @property {string} url where it is, '' if it has not begun
 * @property {number} [offset] how much of it has come, as far as is known
 * @property {number} [moving] how much more is out
 *
 * @typedef {{at: number, parts: {start: number, end: number, url: string}[]}} Entry
 */

const PREFIX = 'millrace.upload.'
const KEPT_MS = 24 * 3600 * 1000 // the service gives up what got nothing for so long
const MOST = 100

/** @param {string} fingerprint @returns {Part[] | null} */
export function recall(fingerprint) {
  const entry = entryOf(PREFIX + fingerprint)
  return entry ? entry.parts.map(({ start, end, url }) => ({ start, end, url, offset: 0 })) : null
}

/** @param {string} fingerprint @param {Part[]} parts */
export function remember(fingerprint, parts) {
  sweep()
  const entry = { at: Date.now(), parts: parts.map(({ start, end, url }) => ({ start, end, url })) }
  try {
    localStorage.setItem(PREFIX + fingerprint, JSON.stringify(entry))
  } catch {
    // full or forbidden: then a reload begins anew
  }
}

/** @param {string} fingerprint */
export function forget(fingerprint) {
  try {
    localStorage.removeItem(PREFIX + fingerprint)
  } catch {
    // forbidden: then nothing was remembered either
  }
}

/**
 * What has begun and not ended, at any service: a page may ask for these files again.
 * @returns {{url: string, name: string, size: number, at: number}[]}
 */
export function unfinished() {
  sweep()
  return keys().flatMap(key => {
    const [url, name, size] = JSON.parse(key.slice(PREFIX.length))
    const entry = entryOf(key)
    return entry ? [{ url, name, size, at: entry.at }] : []
  })
}

/** What is too old goes, and the oldest of very many. */
function sweep() {
  const found = keys().map(key => ({ key, at: entryOf(key)?.at ?? 0 })).sort((a, b) => b.at - a.at)
  found.forEach(({ key, at }, index) => {
    if (index >= MOST || Date.now() - at > KEPT_MS) forget(key.slice(PREFIX.length))
  })
}

function keys() {
  try {
    return Object.keys(localStorage).filter(key => key.startsWith(PREFIX))
  } catch {
    return []
  }
}

/** @param {string} key @returns {Entry | null} */
function entryOf(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null')
  } catch {
    return null
  }
}
