/** Flows: jobs joined by dependencies, one of them as a picture that lives. */

import { get, send } from '../api.js'
import { ask } from '../ask.js'
import { h, show } from '../dom.js'
import { moment, number, plain, shortId } from '../format.js'
import { graph } from '../graph.js'
import { onJobs } from '../live.js'
import { button, empty, notice, page } from '../parts.js'
import { pill, problemBox, select, table } from '../shapes.js'

/** @type {import('../app.js').Open} */
export async function open(place) {
  return place.path[0] ? one(place) : list(place)
}

/** @param {import('../app.js').Place} place */
async function list({ query, signal }) {
  const state = query.get('state') ?? ''
  const body = h('div', { class: 'stack' })
  async function load() {
    const { flows } = await get('/v1/flows', { state, limit: 200 }, { signal })
    const rows = flows.map((/** @type {any} */ flow) => h('tr', {}, h('th', { scope: 'row', class: 'wrap' }, h('a', { href: `#/flows/${flow.id}` }, flow.name)), h('td', {}, pill(flow.state)), h('td', { class: 'muted' }, moment(flow.created_at)), h('td', { class: 'muted' }, moment(flow.finished_at))))
    show(body, rows.length ? table('Flows', ['Flow', 'State', 'Made', 'Ended'], rows, 'plain') : empty('flows', state ? `No flow is ${state}` : 'No flows yet', 'Programs make them with POST /v1/flows: jobs that wait for each other and hand on what they made.'))
  }
  await load()
  onJobs(signal, load)
  const filter = select([['', 'In any state'], 'running', 'completed', 'failed'], state, wanted => { location.hash = `#/flows${wanted ? `?state=${wanted}` : ''}` }, { 'aria-label': 'State' })
  return page('Flows', { lead: 'Jobs that wait for each other, submitted and steered as one.', actions: [filter] }, body)
}

/** @param {import('../app.js').Place} place */
async function one({ path: [id = ''], signal }) {
  let flow = await get(`/v1/flows/${id}`, {}, { signal })
  const state = h('span')
  const picture = h('div', { class: 'graph' })
  const steps = h('div')
  const cancel = button('Cancel', () => stop(), { sign: 'close', kind: 'danger', acts: true })
  const retry = button('Retry what failed', async () => { await send('POST', `/v1/flows/${id}/retry`); notice('Its failed steps are queued again.'); await load() }, { sign: 'again', acts: true })

  function draw() {
    show(state, pill(flow.state))
    cancel.hidden = flow.steps.every((/** @type {any} */ step) => ['completed', 'failed', 'cancelled'].includes(step.state))
    retry.hidden = !flow.steps.some((/** @type {any} */ step) => ['failed', 'cancelled'].includes(step.state))
    const focused = /** @type {any} */ (document.activeElement)?.getAttribute?.('href')
    show(picture, graph(flow.steps, flow.edges, `Steps of ${flow.name}`))
    if (focused) /** @type {any} */ (picture.querySelector(`[href="${CSS.escape(focused)}"]`))?.focus()
    show(steps, table('Steps', ['Step', 'Processor', 'After', 'State', 'Rows', 'Job'], flow.steps.map((/** @type {any} */ step) => h('tr', {},
      h('th', { scope: 'row' }, step.key, !step.required && h('span', { class: 'muted' }, ' not required')), h('td', {}, step.processor), h('td', {}, step.after.join(', ') || '–'),
      h('td', {}, pill(step.state), step.problem && problemBox(step.problem)), h('td', {}, step.counts.read ? `${number(step.counts.inserted + step.counts.updated)}${step.counts.rejected ? `, ${number(step.counts.rejected)} refused` : ''}` : step.output?.rows === undefined ? '–' : plain(step.output.rows)),
      h('td', {}, h('a', { href: `#/jobs/${step.job_id}` }, shortId(step.job_id))))), 'plain'))
  }

  async function load() {
    flow = await get(`/v1/flows/${id}`, {}, { signal })
    draw()
  }

  async function stop() {
    const rows = await ask(`Cancel ${flow.name}?`, 'Every step that has not ended is stopped.', [{ value: 'keep', label: 'Keep stored rows' }, { value: 'remove', label: 'Remove rows', kind: 'danger' }], 'Let it run')
    if (!rows) return
    await send('POST', `/v1/flows/${id}/cancel?rows=${rows}`)
    await load()
  }

  draw()
  onJobs(signal, load)
  return page(flow.name, { back: ['Flows', '#/flows'], lead: [state, ` made ${moment(flow.created_at)}`], actions: [retry, cancel] }, picture, h('section', {}, h('h2', {}, 'Steps'), steps))
}
