/** Asks again and again, and rests while nobody looks. */

import { backOff, pause, Problem } from './http.js'

const LOOK_MS = 5_000

/**
 * See `Millrace.every`.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {{ms?: number, signal?: AbortSignal, line?: (connected: boolean) => void}} [how]
 * @returns {AsyncGenerator<T, void, void>}
 */
export async function* every(ask, { ms = LOOK_MS, signal, line } = {}) {
  for (let failures = 0; !signal?.aborted;) {
    try {
      const answer = await ask()
      if (signal?.aborted) return
      failures = 0
      line?.(true)
      yield answer
    } catch (error) {
      if (signal?.aborted) return
      if (!(error instanceof Problem) || !error.isPassing) throw error
      failures += 1
      line?.(false)
    }
    try {
      await pause(failures ? backOff(failures, ms) : ms, signal)
      await visible(signal)
    } catch {
      return
    }
  }
}

/** Until the page is seen. @param {AbortSignal} [signal] @returns {Promise<void>} */
function visible(signal) {
  return new Promise((resolve, reject) => {
    if (!document.hidden) return resolve()
    const ending = new AbortController()
    document.addEventListener('visibilitychange', () => { if (!document.hidden) { ending.abort(); resolve() } }, { signal: ending.signal })
    signal?.addEventListener('abort', () => { ending.abort(); reject(signal.reason) }, { once: true })
  })
}
