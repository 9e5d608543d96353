/** What can be done to jobs, one or many at a time. */

import { hasEnded } from './ends.js'
import { plural } from './format.js'
import { nameOf, standing } from './standing.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').BatchResult} BatchResult
 * @typedef {import('./millrace.js').Millrace} Millrace
 * @typedef {{value: string, label: string}} Choice
 * @typedef {object} Action
 * @property {string} label
 * @property {boolean} [isRare] behind "More"
 * @property {(job: Job) => boolean} fits
 * @property {(jobs: Job[]) => {title: string, text: string, choices: Choice[]} | null} [question]
 * @property {(millrace: Millrace, id: string, chosen: string) => Promise<Job | void>} one resolves to the job as it is then
 * @property {(millrace: Millrace, ids: string[], chosen: string) => Promise<{results: BatchResult[]}>} many
 */

/** @param {Job} job */
const stored = job => job.counts.inserted + job.counts.updated

/** @param {Job[]} jobs */
const named = jobs => (jobs.length === 1 && jobs[0] ? nameOf(jobs[0]) : plural(jobs.length, 'job'))

/** @type {Action[]} */
export const ACTIONS = [
  {
    label: 'Pause',
    fits: job => !hasEnded(job) && job.state !== 'paused' && !job.control,
    one: ({ jobs }, id) => jobs.pause(id),
    many: ({ jobs }, ids) => jobs.batch({ action: 'pause', ids }),
  },
  {
    label: 'Resume',
    fits: job => job.control !== 'cancel' && (job.state === 'paused' || standing(job) === 'pausing'),
    one: ({ jobs }, id) => jobs.resume(id),
    many: ({ jobs }, ids) => jobs.batch({ action: 'resume', ids }),
  },
  {
    label: 'Retry',
    fits: job => job.state === 'failed' || job.state === 'cancelled',
    question: jobs => jobs.some(stored) ? {
      title: `Try ${named(jobs)} again?`,
      text: 'It can go on behind the rows that are stored, or take them back and begin anew.',
      choices: [{ value: 'checkpoint', label: 'Go on' }, { value: 'start', label: 'Begin anew' }, { value: '', label: 'Do nothing' }],
    } : null,
    one: ({ jobs }, id, from) => jobs.retry(id, { from: from === 'start' ? 'start' : 'checkpoint' }),
    many: ({ jobs }, ids, from) => jobs.batch({ action: 'retry', ids, from: from === 'start' ? 'start' : 'checkpoint' }),
  },
  {
    label: 'Cancel',
    fits: job => !hasEnded(job) && job.control !== 'cancel',
    question: jobs => {
      const rows = jobs.reduce((sum, job) => sum + stored(job), 0)
      return {
        title: `Cancel ${named(jobs)}?`,
        text: rows ? `${plural(rows, 'row')} ${rows === 1 ? 'is' : 'are'} stored so far. If you keep them, a retry goes on where this stopped.` : 'No rows are stored yet.',
        choices: [{ value: '', label: 'Do not cancel' }, { value: 'keep', label: rows ? 'Cancel, keep rows' : 'Cancel' }, ...(rows ? [{ value: 'remove', label: 'Cancel, remove rows' }] : [])],
      }
    },
    one: ({ jobs }, id, rows) => jobs.cancel(id, { rows: rows === 'remove' ? 'remove' : 'keep' }),
    many: ({ jobs }, ids, rows) => jobs.batch({ action: 'cancel', ids, rows: rows === 'remove' ? 'remove' : 'keep' }),
  },
  {
    label: 'Undo',
    isRare: true,
    fits: job => hasEnded(job) && job.dataset !== null && stored(job) > 0 && !job.undone_at && !job.corrects,
    question: jobs => ({
      title: `Undo ${named(jobs)}?`,
      text: `What it has stored is taken back: ${plural(jobs.reduce((sum, job) => sum + stored(job), 0), 'row')}. What it changed gets its former values.`,
      choices: [{ value: '', label: 'Leave it' }, { value: 'yes', label: 'Undo' }],
    }),
    one: ({ jobs }, id) => jobs.undo(id),
    many: ({ jobs }, ids) => jobs.undoAll(ids),
  },
  {
    label: 'Delete',
    isRare: true,
    fits: hasEnded,
    question: jobs => ({
      title: `Delete ${jobs.length === 1 ? `this job of ${named(jobs)}` : named(jobs)}?`,
      text: 'Its record goes out of sight, with its timeline and rejected rows. The rows it stored stay in the dataset.',
      choices: [{ value: '', label: 'Keep it' }, { value: 'yes', label: 'Delete' }],
    }),
    one: ({ jobs }, id) => jobs.delete(id),
    many: ({ jobs }, ids) => jobs.batch({ action: 'delete', ids }),
  },
]

/** 1 to 10, with the words that people need. */
export const PRIORITIES = Array.from({ length: 10 }, (_, index) => {
  const value = 10 - index
  const word = { 10: ' most urgent', 5: ' usual', 1: ' least urgent' }[value] ?? ''
  return { value: String(value), label: `${value}${word}` }
})

/** @type {Action} */
export const PRIORITY = {
  label: 'Priority',
  isRare: true,
  fits: job => !hasEnded(job),
  one: ({ jobs }, id, value) => jobs.prioritize(id, Number(value)),
  many: ({ jobs }, ids, value) => jobs.batch({ action: 'priority', ids, priority: Number(value) }),
}
