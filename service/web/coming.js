/** What is asked for fills what is seen: once, or again and again. */

import { show } from './dom.js'
import { problemBox } from './shapes.js'

/**
 * @typedef {import('./dom.js').Child} Child
 * @typedef {import('./parts.js').Told} Told
 */

/**
 * Run `look` now and again every `everyMs`, but not while the page is hidden; until `signal` aborts. What goes wrong is
 * for the next time.
 * @param {AbortSignal} signal
 * @param {number} everyMs
 * @param {() => Promise<unknown> | unknown} look
 */
export async function repeat(signal, everyMs, look) {
  while (!signal.aborted) {
    await new Promise(resolve => { setTimeout(resolve, everyMs); signal.addEventListener('abort', resolve, { once: true }) })
    if (!signal.aborted && !document.hidden) await Promise.resolve(look()).catch(() => null)
  }
}

/**
 * Show what a promise brings in place of `element`'s content, or its problem.
 * @param {Element} element
 * @param {Promise<Child | Child[]>} coming
 */
export async function fill(element, coming) {
  try {
    show(element, await coming)
  } catch (problem) {
    show(element, problemBox(/** @type {Told} */ (problem)))
  }
}
