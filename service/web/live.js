/** What happens to the account's jobs, for the views that want to know it. */

import { millrace } from './api.js'

const SOON_MS = 400
const ENDED = new Set(['job.completed', 'job.failed', 'job.cancelled'])

/**
 * Call `heard` with the jobs that have not ended, now and soon after anything happens to any job; until `signal` aborts.
 * `isNews` says that more than progress was told: a job began, ended, or was made.
 * @param {AbortSignal} signal
 * @param {(jobs: any[], isNews: boolean) => unknown} heard
 */
export function onJobs(signal, heard) {
  /** @type {Map<string, any>} */
  const jobs = new Map()
  let [timer, isNews] = [0, false]
  const soon = (/** @type {boolean} */ news) => {
    isNews ||= news
    timer ||= window.setTimeout(() => {
      const tells = isNews
      timer = 0
      isNews = false
      if (!signal.aborted) Promise.resolve(heard([...jobs.values()], tells)).catch(() => null) // the next event looks again
    }, SOON_MS)
  }
  millrace.followAll({
    signal,
    snapshot(live) {
      jobs.clear()
      for (const job of live) jobs.set(job.id, job)
      soon(true)
    },
    event(event) {
      const job = event.job_id && jobs.get(event.job_id)
      if (event.job_id && ENDED.has(event.type)) jobs.delete(event.job_id)
      else if (job) Object.assign(job, event.counts && { counts: event.counts }, event.progress && { progress: event.progress }, event.state ? { state: event.state } : /started|progressed/.test(event.type) && { state: 'running' })
      else if (event.job_id) look(event.job_id)
      soon(event.type !== 'job.progressed')
    },
  }).catch(() => null) // left, or signed out

  /** @param {string} id a job that is new here */
  async function look(id) {
    const job = await millrace.jobs.get(id).catch(() => null)
    if (!job || ENDED.has(`job.${job.state}`)) return
    jobs.set(id, job)
    soon(true)
  }
}
