/** Monitor: all jobs, as the browser client's element shows them. */

import '../client/monitor.js'
import { h, icon } from '../dom.js'
import { clientElement, page } from '../parts.js'

/** @type {import('../app.js').Open} */
export function open() {
  const actions = [h('a', { class: 'button', href: '#/new' }, icon('plus'), 'New job'), h('a', { class: 'button primary', href: '#/import' }, icon('import'), 'Import')]
  return page('Monitor', { lead: 'Every job, as it goes.', actions }, clientElement('millrace-monitor', { mode: 'full' }))
}
