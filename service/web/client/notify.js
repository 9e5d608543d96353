/** Tells through the system when a job ends, for those who opted in; remembered by the browser, for all its tabs. */

import { number } from './format.js'
import { nameOf, told } from './standing.js'

const KEY = 'millrace.notify'

/** Whether this browser can at all. */
export const isPossible = () => 'Notification' in globalThis && isSecureContext

/** Whether it is wanted and allowed. */
export function isOn() {
  try {
    return isPossible() && Notification.permission === 'granted' && localStorage.getItem(KEY) === 'on'
  } catch {
    return false
  }
}

/** Opt in or out; the browser asks its user. Resolves to how it is then. @param {boolean} on */
export async function turn(on) {
  if (on && isPossible() && Notification.permission !== 'granted') await Notification.requestPermission()
  try {
    localStorage.setItem(KEY, on ? 'on' : 'off')
  } catch {
    // forbidden: then it stays off
  }
  return isOn()
}

/** Several tabs tell the same thing once: the tag is the job's. @param {import('./types.js').Job} job */
export function notify(job) {
  if (!isOn()) return
  const { counts } = job
  const rejected = counts.rejected ? `, ${number(counts.rejected)} rejected` : ''
  new Notification(`${nameOf(job)}: ${told(job)}`, { tag: job.id, body: job.problem?.message ?? `${number(counts.inserted + counts.updated)} rows stored${rejected}` })
}
