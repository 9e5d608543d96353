/** What is seen of a file while it is sent, and of its job then. */

import { h, say } from '../dom.js'
import { duration, shortId, size } from '../format.js'
import { button, clientElement } from '../parts.js'

/**
 * How far it is.
 * @param {import('../client/millrace.js').Transfer} transfer
 * @param {string} why it is sent already, '' if that is clear
 */
export function underway(transfer, why) {
  const bar = h('progress', { max: 1, value: 0, 'aria-label': `Sending ${transfer.name}` })
  const told = h('span', { class: 'muted' })
  const hold = button('Pause', () => (transfer.state === 'paused' ? transfer.resume() : transfer.pause()), { sign: 'pause' })
  const draw = () => {
    const { sent, total, rate } = transfer.progress
    bar.value = total ? sent / total : 1
    hold.lastChild.textContent = transfer.state === 'paused' ? 'Go on' : 'Pause'
    hold.hidden = !['sending', 'waiting', 'paused'].includes(transfer.state)
    say(told, transfer.state === 'storing' ? 'Storing …' : `${size(sent)} of ${size(total)}${rate && transfer.state === 'sending' ? ` · ${size(rate)}/s · ${duration((total - sent) / rate)} left` : ''}${transfer.state === 'paused' ? ' · paused' : ''}${transfer.isResumed ? ' · goes on where it stopped' : ''}`)
  }
  transfer.addEventListener('progress', draw)
  transfer.addEventListener('state', draw)
  draw()
  return h('div', { class: 'stack' }, why && h('p', { class: 'muted' }, why), bar, h('div', { class: 'row spread' }, told, hold))
}

/**
 * The job that it became, live; or that of the same file before, with a way to import it once more.
 * @param {any} job
 * @param {(() => Promise<unknown>) | null} again
 */
export function arrived(job, again) {
  if (!again) define() // only now, for it is large
  return [
    h('p', { class: 'tip good' }, again ? 'This very file was imported like this before, so nothing was done: ' : 'Queued as ', h('a', { href: `#/jobs/${job.id}` }, `job ${shortId(job.id)}`), again ? '. ' : '. You may close this tab; it goes on without it.'),
    again ? h('div', { class: 'actions' }, button('Import it once more', again, { sign: 'again' })) : clientElement('millrace-job', { 'job-id': job.id }),
  ]
}

const define = () => import('../client/job-element.js')
