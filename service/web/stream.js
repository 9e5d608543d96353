/** Follows a job over Server-Sent Events. EventSource cannot send the key, so this reads the body of a fetch. */

import { Problem, request } from './api.js'

/**
 * @typedef {{event: string, data: string, id: string, retry: number | undefined}} Message
 * @typedef {{seq: number, type: string, at: string} & Record<string, any>} JobEvent
 * @typedef {object} Follower
 * @property {(job: import('./api.js').Job) => void} snapshot
 * @property {(event: JobEvent) => void} event called once for each event, in order
 * @property {(connected: boolean) => void} [line]
 * @property {() => void} [restart] the service stops, and another one or itself is back in a moment
 */

const LONGEST_WAIT_MS = 30_000
const SILENCE_MS = 25_000 // the service pings every 10 s
export const RESTART_MS = 10_000 // a service that said `reconnect` may be away for so long without a word about it

const PASSING = new Set([0, 408, 425, 429, 500, 502, 503, 504])

/**
 * Follow a job from behind event `after` until it has ended, through lost connections. Resolves to the last id seen.
 * Rejects with a Problem that trying again does not mend, or when `signal` aborts.
 * @param {string} jobId
 * @param {number} after
 * @param {Follower} follower
 * @param {AbortSignal} signal
 */
export async function follow(jobId, after, follower, signal) {
  let retryMs = 1_000
  let quietUntil = 0
  for (let tries = 0; ; tries += 1) {
    try {
      const ended = await once(jobId, after, signal, message => {
        tries = 0
        retryMs = message.retry ?? retryMs
        follower.line?.(true)
        const told = JSON.parse(message.data)
        if (message.event === 'reconnect') {
          quietUntil = Date.now() + RESTART_MS
          follower.restart?.()
        } else if (message.event === 'snapshot') follower.snapshot(told)
        else {
          after = Number(message.id)
          follower.event(told)
        }
      })
      if (ended) return after
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && !PASSING.has(error.status))) throw error
    }
    if (Date.now() > quietUntil) follower.line?.(false)
    // Half fixed, half random: pages cut off together come back one by one.
    await pause((0.5 + Math.random() / 2) * Math.min(LONGEST_WAIT_MS, retryMs * 2 ** Math.min(tries, 10)), signal)
  }
}

/**
 * One connection. Resolves to whether the job has ended: the stream closed behind a terminal event, or there is no more.
 * @param {string} jobId
 * @param {number} after
 * @param {AbortSignal} signal
 * @param {(message: Message) => void} heard
 */
async function once(jobId, after, signal, heard) {
  const silence = new AbortController()
  const headers = { Accept: 'text/event-stream', ...(after ? { 'Last-Event-ID': String(after) } : {}) }
  let timer = setTimeout(() => silence.abort(), SILENCE_MS)
  let [terminal, newest] = [0, 0]
  try {
    const response = await request(`/v1/jobs/${jobId}/events`, { headers, signal: AbortSignal.any([signal, silence.signal]) })
    if (response.status === 204 || !response.body) return true
    const read = parser(message => {
      if (message.event === 'snapshot') newest = JSON.parse(message.data).last_event_id
      else if (/\.(completed|failed|cancelled)$/.test(message.event)) terminal = Number(message.id)
      heard(message)
    })
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read()
      if (done) return terminal > 0 && terminal >= newest
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), SILENCE_MS)
      read(value)
    }
  } finally {
    clearTimeout(timer)
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
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason) }, { once: true })
  })
}
