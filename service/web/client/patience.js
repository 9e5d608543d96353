/** Takes the steps of an upload through everything that passes: pauses, cuts, a service that is away. */

import { backOff, pause, Problem } from './http.js'

const MOST_FAILURES = 12 // in a row and without a byte in between: some five minutes
/** What a step rejects with that was broken off by a pause, or for good. */
export const STOPPED = Symbol('stopped on purpose')

export class Patience {
  /** @type {Set<() => void>} requests to break off, and waits to end */
  stops = new Set()
  /** @type {Set<() => void>} who waits for the end of a pause */
  #paused = new Set()
  #host
  #sent

  /**
   * @param {{state: import('./transfer.js').TransferState, isOver: boolean}} host
   * @param {() => number} sent how much is out
   */
  constructor(host, sent) {
    this.#host = host
    this.#sent = sent
  }

  /** Break off what is on its way. */
  stop() {
    for (const stop of [...this.stops]) stop()
  }

  /** The pause is over. */
  wake() {
    for (const wake of this.#paused) wake()
    this.#paused.clear()
  }

  /**
   * Do a step until it says that it is done, through everything that passes.
   * @param {() => Promise<boolean>} step
   */
  async persist(step) {
    let [failures, before] = [0, -1]
    for (;;) {
      await this.gate()
      try {
        if (await step()) return
        continue
      } catch (error) {
        if (error === STOPPED) continue
        if (!(error instanceof Problem) || !(error.isPassing || error.status === 409)) throw error
        const sent = this.#sent()
        failures = sent > before ? 0 : failures + 1
        before = Math.max(before, sent)
        if (failures >= MOST_FAILURES) throw error
        await this.#rest(error.retryAfterMs || backOff(failures, 500))
      }
    }
  }

  /** Wait while it is paused. */
  async gate() {
    while (this.#host.state === 'paused') await new Promise(resolve => this.#paused.add(() => resolve(undefined)))
    if (this.#host.isOver) throw STOPPED
  }

  /** Wait, shorter if the browser is online again. @param {number} ms */
  async #rest(ms) {
    const ending = new AbortController()
    const end = () => ending.abort()
    this.stops.add(end)
    addEventListener('online', end)
    await pause(ms, ending.signal).catch(() => {})
    removeEventListener('online', end)
    this.stops.delete(end)
  }

  /** Run a request that `pause` and `abort` break off. @template T @param {(signal: AbortSignal) => Promise<T>} ask */
  async ended(ask) {
    const stopping = new AbortController()
    const stop = () => stopping.abort()
    this.stops.add(stop)
    try {
      return await ask(stopping.signal)
    } catch (error) {
      throw stopping.signal.aborted ? STOPPED : error
    } finally {
      this.stops.delete(stop)
    }
  }
}
