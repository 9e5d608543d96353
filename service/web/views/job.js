/** One job: how it goes, what it was asked, what it made. */

import { get, millrace } from '../api.js'
import '../client/job-element.js'
import { h, icon, show } from '../dom.js'
import { moment, number, plain, shortId } from '../format.js'
import { button, clientElement, page } from '../parts.js'
import { facts, table } from '../shapes.js'
import { historyOf } from './history.js'

const PAGE = 100

/** @type {import('../app.js').Open} */
export async function open(place) {
  const [id = '', more] = place.path
  if (more === 'rejects') return (await import('./rejects.js')).open({ ...place, path: [id] })
  const { signal } = place
  let job = await get(`/v1/jobs/${id}`, {}, { signal })
  const upload = job.upload_id && (await get(`/v1/uploads/${job.upload_id}`, {}, { signal }).catch(() => null))
  const element = clientElement('millrace-job', { 'job-id': id, open: '' })
  const ways = h('div', { class: 'actions' })
  const about = h('div', { class: 'stack loose' })
  const notes = h('div', { class: 'stack' })

  /** What did not change stays as it is, with what somebody opened in it. */
  async function looked() {
    const now = await get(`/v1/jobs/${id}`, {}, { signal })
    if (JSON.stringify(now) === JSON.stringify(job)) return
    job = now
    draw()
  }

  function draw() {
    show(ways, links(job))
    show(about, details(job, upload))
    if (job.notes > 0) noted(notes, job, signal).catch(() => null)
  }

  draw()
  const look = () => { looked().catch(() => null) }
  millrace.followAll({ signal, snapshot: look, event: event => { if (event.job_id === id && event.type !== 'job.progressed') look() } }).catch(() => null)
  const title = upload?.name || (job.dataset ?? job.processor)
  return page(title, { back: ['Monitor', '#/monitor'], lead: ['Job ', h('code', {}, id)], actions: [ways] }, element, about, notes)
}

/** @param {any} job */
function links(job) {
  const made = /** @type {any} */ (job.output)?.upload_id
  const isExport = made && made !== job.upload_id
  return [
    job.counts.rejected > 0 && h('a', { class: 'button', href: `#/jobs/${job.id}/rejects` }, icon('alert'), `${number(job.counts.rejected)} refused rows`),
    job.dataset && h('a', { class: 'button', href: `#/data/${job.dataset}` }, icon('data'), `See ${job.dataset}`),
    isExport && h('a', { class: 'button primary', href: `/v1/uploads/${made}/content`, download: '' }, icon('download'), 'Download what it made'),
  ]
}

/**
 * @param {any} job
 * @param {any} upload
 */
function details(job, upload) {
  const blocks = [['Options', job.options], ['Input', job.input], ['Output', job.output], ['Metadata', job.metadata]].filter(([, value]) => value && Object.keys(value).length)
  const history = job.processor === 'enrich_videos' && job.state === 'completed' && job.output?.by_hour && historyOf(job.output)
  return [
    history,
    h('div', { class: 'card' }, facts([
      ['Processor', `${job.processor}, queue ${job.queue}`],
      job.upload_id && ['File', h('a', { href: `#/files/${job.upload_id}` }, upload?.name || 'no name')],
      job.dataset && ['Dataset', h('a', { href: `#/data/${job.dataset}` }, job.dataset)],
      ['Priority', String(job.priority)],
      ['Attempt', String(job.attempt)],
      job.output?.remarks && ['Read as', job.output.remarks.join('; ')],
      ['Made', moment(job.created_at)],
      job.started_at && ['Begun', moment(job.started_at)],
      job.finished_at && ['Ended', moment(job.finished_at)],
      job.flow_id && ['Step', [h('a', { href: `#/flows/${job.flow_id}` }, job.step ?? 'of a flow')]],
      job.corrects && ['Corrects', h('a', { href: `#/jobs/${job.corrects}` }, `job ${shortId(job.corrects)}`)],
      job.undone_by && ['Undone by', h('a', { href: `#/jobs/${job.undone_by}` }, `job ${shortId(job.undone_by)}`)],
    ])),
    blocks.length > 0 && h('div', { class: 'columns' }, blocks.map(([title, value]) => h('section', {}, h('h2', {}, title), h('pre', { class: 'json', tabIndex: 0 }, JSON.stringify(value, null, 2))))),
  ].filter(Boolean)
}

/**
 * Rows worth knowing of that were not refused.
 * @param {Element} element
 * @param {any} job
 * @param {AbortSignal} signal
 */
async function noted(element, job, signal) {
  /** @type {any[]} */
  let notes = []
  /** @type {string | null} */
  let cursor = null
  const more = button('Show more', () => load(), { kind: 'quiet' })
  async function load() {
    const told = await get(`/v1/jobs/${job.id}/notes`, { limit: PAGE, cursor }, { signal })
    notes = [...notes, ...told.notes]
    cursor = told.next_cursor
    more.hidden = !cursor
    show(element, h('h2', {}, `Notes on ${number(job.notes)} rows`), table('Notes', ['Row', 'What', 'Key'], notes.map(note => h('tr', {}, h('th', { scope: 'row' }, number(note.row)), h('td', {}, note.message), h('td', { class: 'cut' }, plain(note.keys))))), more)
  }
  await load()
}
