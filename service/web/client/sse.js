/** Reads Server-Sent Events from a fetch: EventSource cannot send a key. */

import { backOff, pause, Problem } from './http.js'

/** @typedef {{event: string, data: string, id: string, retry: number | undefined}} Message */

const SILENCE_MS = 25_000 // the service pings every 10 s
const LONGEST_WAIT_MS = 30_000
export const RESTART_MS = 10_000 // a service that said `reconnect` may be away for so long without a word about it

/**
 * One connection, until it ends. Resolves to false if there is nothing more behind `after` (204).
 * Rejects with a Problem, also when nothing comes for `firstMs`, or later for longer than the service's pings are apart.
 * @param {import('./http.js').Http} http
 * @param {string} path
 * @param {{after: string, signal: AbortSignal, firstMs: number, heard: (message: Message) => void, alive?: () => void}} how
 */
export async function listen(http, path, { after, signal, firstMs, heard, alive }) {
  const silence = new AbortController()
  const hush = () => silence.abort(new Problem(0, 'stream_silent', 'The stream is silent.'))
  let timer = setTimeout(hush, firstMs)
  const both = new AbortController()
  const cut = () => both.abort((signal.aborted ? signal : silence.signal).reason)
  signal.addEventListener('abort', cut)
  silence.signal.addEventListener('abort', cut)
  try {
    if (signal.aborted) throw signal.reason
    const headers = { Accept: 'text/event-stream', ...(after ? { 'Last-Event-ID': after } : {}) }
    const response = await http.request(path, { headers, signal: both.signal })
    if (response.status === 204 || !response.body) return false
    const read = parser(heard)
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read()
      if (done) return true
      clearTimeout(timer)
      timer = setTimeout(hush, SILENCE_MS)
      alive?.()
      read(value)
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (silence.signal.aborted) throw silence.signal.reason
    throw error instanceof Problem ? error : new Problem(0, 'stream_cut', 'The stream was cut.')
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', cut)
    both.abort() // a body that is not read to its end would keep its connection
  }
}

/**
 * Read an event stream as the HTML standard says (section 9.2.6): give the returned function the bytes as they come.
 * @param {(message: Message) => void} heard
 * @returns {(bytes: Uint8Array) => void}
 */
export function parser(heard) {
  const decoder = new TextDecoder()
  let [rest, event, id] = ['', '', '']
  /** @type {number | undefined} */
  let retry
  /** @type {string[]} */
  let data = []

  /** @param {string} line */
  function take(line) {
    if (line === '') {
      if (data.length) heard({ event: event || 'message', data: data.join('\n'), id, retry })
      event = ''
      data = []
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon) // empty for a comment
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') event = value
    else if (field === 'data') data.push(value)
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'retry' && /^\d+$/.test(value)) retry = Number(value)
  }

  return bytes => {
    rest += decoder.decode(bytes, { stream: true })
    // A \r at the very end may be half of \r\n, so it waits for what follows.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    lines.forEach(take)
  }
}

/**
 * @typedef {object} Source where events come from, by stream and by page
 * @property {string} path
 * @property {() => string} after the id behind which it goes on
 * @property {(message: Message) => boolean} heard whether that was the last event there is
 * @property {() => Promise<boolean>} poll look without a stream; whether that was the last event there is
 */

/**
 * @typedef {object} Manner
 * @property {number} pollMs how often to look where streams do not come through
 * @property {number} firstMs a stream that brings nothing for so long does not come through
 * @property {(connected: boolean) => void} line
 * @property {() => void} [alive] anything has come, if only a ping
 * @property {AbortSignal} signal
 */

/**
 * Take a source's events, by streams while they come through and by looking while they do not, until the last one.
 * Rejects with a Problem that trying again does not mend, or when `signal` aborts.
 * @param {import('./http.js').Http} http
 * @param {Source} source
 * @param {Manner} manner
 */
export async function take(http, source, manner) {
  let [tries, retryMs, quietUntil, isOver] = [0, 1_000, 0, false]
  for (;;) {
    let brought = false
    try {
      const goesOn = await listen(http, source.path, {
        after: source.after(), signal: manner.signal, firstMs: manner.firstMs, alive: manner.alive,
        heard(message) {
          brought = true
          tries = 0
          retryMs = message.retry ?? retryMs
          manner.line(true)
          if (message.event === 'reconnect') quietUntil = Date.now() + RESTART_MS
          else isOver = source.heard(message) || isOver
        },
      })
      if (!goesOn || isOver) return
    } catch (error) {
      if (manner.signal.aborted) throw error
      const passes = !(error instanceof Problem) || error.isPassing
      if (!passes && !brought) {
        // A proxy may refuse streams in its own words: it is the service's answer to a plain request that counts.
        if (error.code) throw error
      }
      if (isOver) return
    }
    if (!brought && (await pollFor(source, manner, tries))) return
    if (brought && Date.now() > quietUntil) manner.line(false)
    await pause(backOff(tries, retryMs, LONGEST_WAIT_MS), manner.signal)
    tries += 1
  }
}

/**
 * The stream brought nothing. Look instead, for longer each time, before it gets its next chance; not at all if looking
 * fails too, for then it is the service or the line. Resolves to whether the source is at its end.
 * @param {Source} source
 * @param {Manner} manner
 * @param {number} tries
 */
async function pollFor(source, manner, tries) {
  const until = Date.now() + Math.min(120_000, 15_000 * 2 ** tries)
  try {
    do {
      if (await source.poll()) return true
      manner.line(true)
      manner.alive?.()
      await pause(manner.pollMs * (0.75 + Math.random() / 2), manner.signal)
    } while (Date.now() < until)
  } catch (error) {
    if (manner.signal.aborted || (error instanceof Problem && !error.isPassing)) throw error
    manner.line(false)
  }
  return false
}
