/** Health: how the queue, the workers and the processors do, now and over time. */

import { get } from '../api.js'
import { fill, repeat } from '../coming.js'
import { h, s, show } from '../dom.js'
import { compact, duration, moment, number, percent, plural, size } from '../format.js'
import { bars, lying } from '../plots.js'
import { empty, page } from '../parts.js'
import { figures, pill, table } from '../shapes.js'

/** @typedef {'hour' | 'day' | 'week'} Span */

const EVERY_MS = 5_000
const LABELS = {
  hour: new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
  day: new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' }),
  week: new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' }),
}

/** @type {import('../app.js').Open} */
export async function open({ query, signal }) {
  const given = query.get('by') ?? 'hour'
  const by = given in LABELS ? /** @type {Span} */ (given) : 'hour'
  const [now, plots, processors, workers] = [h('div'), h('div', { class: 'plots' }), h('div'), h('div')]
  let before = ''

  async function load() {
    fill(workers, get('/v1/workers', {}, { signal }).then(told => workersOf(told.workers)))
    const stats = await get('/v1/stats', { by }, { signal })
    show(now, state(stats, by))
    const told = JSON.stringify([stats.series, stats.processors])
    if (told === before) return // so that tables of numbers somebody has opened stay as they are
    before = told
    const isOpen = [...plots.querySelectorAll('details')].map(each => each.open)
    show(plots, plotsOf(stats, by))
    plots.querySelectorAll('details').forEach((/** @type {any} */ each, /** @type {number} */ index) => { each.open = isOpen[index] ?? false })
    show(processors, processorsOf(stats.processors))
  }

  await load()
  repeat(signal, EVERY_MS, load)
  const spans = h('div', { class: 'tabs', role: 'group', 'aria-label': 'Span of time' }, Object.entries({ hour: 'Hours', day: 'Days', week: 'Weeks' }).map(([span, title]) =>
    h('button', { type: 'button', 'aria-pressed': String(span === by), onclick: () => { location.hash = `#/health?by=${span}` } }, title)))
  return page('Health', { lead: 'What waits, what works, and how it went.', actions: [spans] }, now, plots,
    h('section', {}, h('h2', {}, 'Processors'), processors), h('section', {}, h('h2', {}, 'Workers'), workers))
}

/**
 * @param {any} stats
 * @param {Span} by
 */
function state({ now, series }, by) {
  const last = series.at(-1)
  const total = (/** @type {string} */ name) => series.reduce((/** @type {number} */ sum, /** @type {any} */ point) => sum + point.jobs[name], 0)
  const [completed, failed] = [total('completed'), total('failed')]
  const waiting = now.queued + now.retrying
  return figures([
    ['Waiting in the queue', number(waiting), now.pending ? `${number(now.pending)} more for later` : 'jobs', waiting > 100 ? 'warn' : ''],
    ['Oldest wait', duration(now.oldest_wait_s), 'of a queued job', now.oldest_wait_s > 60 ? 'warn' : ''],
    ['Running', number(now.running), now.paused ? `${number(now.paused)} paused` : 'jobs'],
    [`Rows this ${by}`, compact(last.rows.inserted + last.rows.updated), `${size(last.bytes)} read`],
    ['Failure rate', completed + failed ? percent(failed / (completed + failed)) : '–', `${number(failed)} of ${number(completed + failed)} jobs`, failed > 0.05 * (completed + failed) ? 'bad' : ''],
  ])
}

/**
 * @param {any} stats
 * @param {Span} by
 */
function plotsOf({ series, durations = [], failures = [] }, by) {
  const points = (/** @type {(point: any) => number[]} */ values) => series.map((/** @type {any} */ point) => ({ label: LABELS[by].format(new Date(point.start)), told: moment(point.start), values: values(point) }))
  const sum = (/** @type {(point: any) => number} */ value) => series.reduce((/** @type {number} */ all, /** @type {any} */ point) => all + value(point), 0)
  const rows = (/** @type {any} */ point) => point.rows.inserted + point.rows.updated
  const ends = (/** @type {any} */ point) => [point.jobs.completed, point.jobs.failed, point.jobs.cancelled]
  const jobs = (/** @type {any} */ each) => each.jobs
  return /** @type {import('../dom.js').Child[]} */ ([
    bars({ title: `Rows stored, by ${by}`, description: `${number(sum(rows))} rows in ${series.length} ${by}s.`, unit: 'rows', format: compact, series: [{ name: 'rows', kind: 'k1' }], bars: points(point => [rows(point)]) }),
    bars({ title: `Jobs that ended, by ${by}`, description: `${number(sum(point => ends(point).reduce((a, b) => a + b)))} jobs in ${series.length} ${by}s.`, unit: 'jobs', format: compact, series: [{ name: 'completed', kind: 'k1' }, { name: 'failed', kind: 'k2' }, { name: 'cancelled', kind: 'k3' }], bars: points(ends) }),
    durations.length === 0 ? none('How long jobs ran', 'health', 'No job has ended in this time') : bars({ title: 'How long jobs ran', description: `${number(durations.reduce((/** @type {number} */ all, /** @type {any} */ each) => all + jobs(each), 0))} jobs, by classes that double in width.`, unit: 'jobs', head: 'Run time', format: compact, series: [{ name: 'jobs', kind: 'k1' }], bars: durations.map((/** @type {any} */ each) => ({ label: `≤ ${duration(each.up_to_s)}`, values: [jobs(each)] })) }),
    failures.length > 0
      ? lying({ title: 'Why jobs failed', description: `${plural(failures.length, 'reason')}, the most frequent first.`, unit: 'jobs', head: 'Reason', kind: 'k2', format: number, bars: failures.map((/** @type {any} */ each) => ({ label: `${each.code} (${each.processor})`, value: jobs(each) })) })
      : none('Why jobs failed', 'check', 'No job has failed in this time'),
  ])
}

/** Where there is nothing to plot. @param {string} title @param {string} sign @param {string} why */
const none = (title, sign, why) => h('div', { class: 'card plot' }, h('h2', {}, title), empty(sign, why))

/** @param {string} text */
const end = text => h('th', { scope: 'col', class: 'end' }, text)
/** @param {...any} cells */
const ends = (...cells) => cells.map(cell => h('td', { class: 'end' }, cell))

/** @param {any[]} processors */
function processorsOf(processors) {
  if (!processors.length) return empty('health', 'No job has ended in this time')
  return table('Processors', ['Processor', ...['Completed', 'Failed', 'Success', 'Half ran within', '95 % within', 'Mean wait', 'Read'].map(end)], processors.map(each => h('tr', {},
    h('th', { scope: 'row' }, each.processor), ends(number(each.completed), number(each.failed), percent(each.success_rate), duration(each.run_p50_s), duration(each.run_p95_s), duration(each.wait_mean_s), size(each.bytes)))), 'plain')
}

/** @param {any[]} workers */
function workersOf(workers) {
  if (!workers.length) return empty('alert', 'No worker is seen', 'Jobs wait until one is started: python -m workers')
  return table('Workers', ['Worker', 'State', 'Slots in use', end('Cores'), end('Memory'), end('Load of its host'), 'Version', 'Seen'], workers.map(each => h('tr', {},
    h('th', { scope: 'row' }, each.name), h('td', {}, pill(each.state === 'alive' ? 'good' : 'bad', each.state)),
    h('td', {}, h('ul', { class: 'said' }, each.queues.map((/** @type {any} */ { queue, used, slots }) => h('li', {}, meter(used / Math.max(1, slots), `${queue} ${used} of ${slots}`))))),
    ends(each.cpu.toFixed(2), size(each.rss_bytes), each.load.map((/** @type {number} */ value) => value.toFixed(2)).join(' · ')),
    h('td', { class: 'muted' }, each.version), h('td', { class: 'muted' }, `${duration(Math.max(0, (Date.now() - Date.parse(each.seen_at)) / 1000))} ago`))), 'plain')
}

/**
 * A share as a bar, and in words.
 * @param {number} share
 * @param {string} words
 */
const meter = (share, words) => h('span', { class: share > 0.9 ? 'meter high' : 'meter' }, s('svg', { viewBox: '0 0 72 6', 'aria-hidden': 'true', preserveAspectRatio: 'none' }, s('rect', { width: 72 * Math.min(1, share), height: 6, rx: 3 })), words)
