/** Where a job stands: its state in words, its group, what an event makes of it, how long it will take. */

import { hasEnded } from './ends.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').JobEvent} JobEvent
 * @typedef {'active' | 'waiting' | 'finished' | 'failed'} Group
 */

/** @type {Record<string, string>} */
const PHASES = { queued: 'waiting', running: 'importing', retrying: 'backing off' }
/** @type {Record<string, Job['control']>} */
const ASKED = { 'job.pause_requested': 'pause', 'job.cancel_requested': 'cancel' }
const EARLY_PERCENT = 5

/** Its state, or what it is about to be: a worker obeys after the chunk in hand. @param {Job} job */
export function standing(job) {
  if (!hasEnded(job) && (job.control === 'cancel' || job.cancel_requested_at)) return 'cancelling'
  return job.state === 'running' && job.control === 'pause' ? 'pausing' : job.state
}

/** The same in words, and how it ended. @param {Job} job */
export function told(job) {
  if (job.undone_at) return 'undone'
  if (job.state === 'completed' && job.outcome === 'partial') return 'completed, with rejects'
  return job.state === 'pending' ? 'scheduled' : job.state === 'retrying' ? 'trying again soon' : standing(job)
}

/** @param {Job} job @returns {Group} */
export function groupOf(job) {
  if (hasEnded(job)) return job.state === 'completed' ? 'finished' : 'failed'
  return job.state === 'running' ? 'active' : 'waiting'
}

/**
 * The newest first; of those that wait, the one whose turn is next, and paused ones last.
 * @param {Job} one
 * @param {Job} other
 */
export function before(one, other) {
  const newer = one.id < other.id ? 1 : -1
  if (groupOf(one) !== 'waiting' || groupOf(other) !== 'waiting') return newer
  return Number(one.state === 'paused') - Number(other.state === 'paused') || other.priority - one.priority || -newer
}

/** What people know it by. @param {Job} job */
export const nameOf = job => job.dataset ?? job.processor

/**
 * A job as it is after an event that its description did not know yet.
 * @param {Job} job
 * @param {JobEvent} event
 * @returns {Job}
 */
export function after(job, event) {
  const { seq, type, at, progress = {}, counts, state, outcome, problem, attempt, priority } = event
  const news = Object.fromEntries(Object.entries({ counts, state, outcome, problem, attempt, priority }).filter(([, value]) => value !== undefined))
  const moved = { ...job, ...news, last_event_id: seq, progress: { ...job.progress, ...progress } }
  if (event.reason === 'retried') Object.assign(moved, { outcome: null, problem: null, finished_at: null, cancel_requested_at: null })
  if (type === 'job.reset') {
    moved.counts = { read: 0, inserted: 0, updated: 0, skipped: 0, rejected: 0 }
    Object.assign(moved.progress, { done: 0, percent: null, rate: null })
  }
  if (type in ASKED) moved.control = ASKED[type] ?? null
  else if (type === 'job.resumed' || moved.state === 'paused' || hasEnded(moved)) moved.control = null
  if (type === 'job.started' || type === 'job.progressed') moved.state = 'running'
  if (type === 'job.started') moved.started_at ??= at
  if (state) moved.progress.phase = PHASES[state] ?? state
  if (hasEnded(moved)) moved.finished_at = at
  if (moved.state === 'completed') moved.progress.percent = 100
  moved.progress.eta_s = timeLeft(moved)
  return moved
}

/**
 * Seconds that a running job will still take, as the service reckons: wider while there is little to go by.
 * @param {Job} job
 */
function timeLeft({ state, control, progress, counts, last_event_id }) {
  const { done, total, rate, percent } = progress
  if (state !== 'running' || control || last_event_id <= 3 || !total || !rate || !done || !counts.read) return null
  const seconds = (Math.max(total - done, 0) * counts.read) / done / rate
  const [low, high] = (percent ?? 0) < EARLY_PERCENT ? [0.5, 2.5] : [0.8, 1.3]
  return { low: Math.floor(seconds * low), high: Math.ceil(seconds * high) }
}
