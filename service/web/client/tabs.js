/**
 * The tabs of a browser that follow the same: one of them leads, and tells the others.
 *
 * A Web Lock says which tab leads, a BroadcastChannel carries what it tells. Without locks (browsers have them on https
 * and localhost only) every tab leads itself.
 */

import { backOff, pause } from './http.js'

const WATCH_MS = 15_000
const QUIET_TICKS = 4 // a leader that says nothing for so many of them hangs, and is replaced

/**
 * @template {{hello?: true}} Message `hello` is of a tab that has come, and no sign of life of the leader
 */
export class Tabs {
  isLeading = false
  #work
  #heard
  #quiet = 0
  /** @type {BroadcastChannel | undefined} */
  #channel
  /** @type {AbortController | undefined} */
  #leading

  /** @param {{lead: (signal: AbortSignal) => Promise<void>, heard: (message: Message) => void}} how `lead` until `signal` aborts */
  constructor({ lead, heard }) {
    this.#work = lead
    this.#heard = heard
  }

  /** Be one of those of this name until `signal` aborts. @param {string} name @param {AbortSignal} signal */
  join(name, signal) {
    if (!navigator.locks || !('BroadcastChannel' in globalThis)) {
      this.#lead(signal)
      return
    }
    const channel = (this.#channel = new BroadcastChannel(name))
    channel.onmessage = ({ data }) => {
      if (!data.hello) this.#quiet = 0
      this.#heard(data)
    }
    const watch = setInterval(() => this.#watch(name, signal), WATCH_MS)
    signal.addEventListener('abort', () => {
      clearInterval(watch)
      channel.close()
      if (this.#channel === channel) this.#channel = undefined
    })
    this.#contend(name, signal)
    // A page that goes into the browser's cache must not keep the stream.
    addEventListener('pagehide', () => this.#leading?.abort(), { signal })
  }

  /** Tell the other tabs. @param {Message} message */
  say(message) {
    this.#channel?.postMessage(message)
  }

  /** Wait for the lead, and lead; if it is taken away, wait again. @param {string} name @param {AbortSignal} signal */
  async #contend(name, signal) {
    while (!signal.aborted) {
      await this.#ask(name, signal, { signal })
      if (!signal.aborted) await pause(backOff(0), signal).catch(() => {})
    }
  }

  /**
   * @param {string} name
   * @param {AbortSignal} signal
   * @param {LockOptions} options
   */
  async #ask(name, signal, options) {
    const leading = new AbortController()
    const over = () => leading.abort(signal.reason)
    signal.addEventListener('abort', over)
    try {
      await navigator.locks.request(name, options, () => {
        this.#leading = leading
        return this.#lead(leading.signal)
      })
    } catch {
      leading.abort() // stolen, or nobody follows any more
    }
    signal.removeEventListener('abort', over)
  }

  /** @param {string} name @param {AbortSignal} signal */
  #watch(name, signal) {
    this.#quiet = this.isLeading ? 0 : this.#quiet + 1
    if (this.#quiet < QUIET_TICKS) return
    this.#quiet = 0
    this.#ask(name, signal, { steal: true })
  }

  /** @param {AbortSignal} signal */
  async #lead(signal) {
    this.isLeading = true
    try {
      await this.#work(signal)
    } finally {
      this.isLeading = false
    }
  }
}
