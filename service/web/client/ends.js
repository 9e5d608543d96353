/** When a job has ended, and how a follower is told. */

/** @typedef {import('./types.js').Job} Job */

/**
 * Call what somebody else wrote; its failure is theirs, and no reason to lose an event.
 * @template T
 * @param {((value: T) => void) | undefined} listener
 * @param {T} value
 */
export function safely(listener, value) {
  try {
    listener?.(value)
  } catch (error) {
    reportError(error)
  }
}

/** @param {Job} job */
export const hasEnded = job => job.state === 'completed' || job.state === 'failed' || job.state === 'cancelled'
