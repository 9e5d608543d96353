/** Follows one job until it has ended. */

import { hasEnded, safely } from './ends.js'
import { take } from './sse.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').JobEvent} JobEvent
 */

const PAGE = 200
const MISSES = 3
const ENDS = /^job\.(completed|failed|cancelled)$/

/**
 * Follow a job from behind event `after`, through lost connections. Each event is told once and in order, whether it
 * came by stream or by looking. Resolves to the job as it ended.
 * @param {import('./http.js').Http} http
 * @param {string} jobId
 * @param {import('./types.js').Follower} follower
 * @param {{pollMs: number, firstMs: number}} pace
 * @returns {Promise<Job>}
 */
export async function follow(http, jobId, follower, pace) {
  const path = `/v1/jobs/${encodeURIComponent(jobId)}`
  let seen = follower.after ?? 0
  let newest = 0

  /** @param {JobEvent} event */
  function told(event) {
    if (event.seq <= seen) return
    seen = event.seq
    safely(follower.event, event)
  }

  /** @param {Job} job */
  function shown(job) {
    newest = Math.max(newest, job.last_event_id)
    safely(follower.snapshot, job)
  }

  /** The events up to number `until`, page by page. @param {number} until */
  async function catchUp(until) {
    while (seen < until) {
      const { events } = await http.get(`${path}/events`, { after: seen, limit: PAGE }, { signal: follower.signal })
      if (!events.length) return
      events.forEach(told)
    }
  }

  let misses = 0
  await take(http, {
    path: `${path}/events`,
    after: () => (seen ? String(seen) : ''),
    heard(message) {
      if (message.event === 'reconnect') return false
      const data = JSON.parse(message.data)
      if (message.event === 'snapshot') shown(data)
      else told(data)
      // A retried job goes on behind an earlier end, so only the newest event can be the last.
      return ENDS.test(message.event) && seen >= newest
    },
    async poll() {
      const job = await http.get(path, {}, { signal: follower.signal })
      try {
        await catchUp(job.last_event_id)
        misses = 0
      } catch (error) {
        if (follower.signal?.aborted) throw error
        misses += 1 // a proxy may let nothing through below this address: then the job itself is all there is to see
      }
      shown(job)
      return hasEnded(job) && (misses === 0 || misses >= MISSES)
    },
  }, { ...pace, line: connected => safely(follower.line, connected), signal: follower.signal ?? new AbortController().signal })
  return http.get(path, {}, { signal: follower.signal })
}
