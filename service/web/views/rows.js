/** The rows of one dataset: conditions, order, pages, downloads; live while a job fills it. */

import { get, queryOf } from '../api.js'
import { h, icon, say, show } from '../dom.js'
import { number, plain } from '../format.js'
import { onJobs } from '../live.js'
import { button, empty, page } from '../parts.js'
import { field, pill, problemBox, select, table } from '../shapes.js'
import { remove } from './data.js'

const PAGE = 100
const NUMERIC = new Set(['integer', 'bigint', 'double', 'numeric'])
/** @type {[string, string][]} */
const OPERATORS = [['=', 'is'], ['!=', 'is not'], ['~=', 'contains'], ['^=', 'starts with'], ['>=', '≥ at least'], ['<=', '≤ at most'], ['>', '> above'], ['<', '< below'], [' is null', 'is null'], [' is not null', 'is not null']]

/** @type {import('../app.js').Open} */
export async function open({ path: [name = ''], query, signal }) {
  let about = await get(`/v1/datasets/${name}`, {}, { signal })
  const where = query.getAll('where')
  const sort = query.get('sort') ?? ''
  /** @type {(string | null)[]} the cursor of each page up to this one */
  const pages = [null]
  /** @type {string | null} */
  let following = null
  let shown = 0
  let isBusy = false
  const body = h('div', { class: 'stack' })
  const caption = h('p', { class: 'muted', role: 'status' })
  const state = h('span')
  const back = button('Previous', () => turn(-1), { sign: 'prev' })
  const on = button('Next', () => turn(1), {})
  on.append(icon('next'))

  /** @param {number} by */
  async function turn(by) {
    if (by > 0) pages.push(following)
    else pages.pop()
    await load()
    body.querySelector('.scroller')?.scrollTo({ top: 0 })
  }

  async function load() {
    if (isBusy) return
    isBusy = true
    try {
      if (!about.columns.length) about = await get(`/v1/datasets/${name}`, {}, { signal })
      const told = await get(`/v1/datasets/${name}/rows`, { where, sort, limit: PAGE, cursor: pages.at(-1) }, { signal, exact: true })
      following = told.next_cursor
      draw(told.rows)
    } catch (problem) {
      if (!signal.aborted) show(body, problemBox(/** @type {Error} */ (problem)))
    } finally {
      isBusy = false
    }
  }

  /** @param {any[]} rows */
  function draw(rows) {
    shown = rows.length
    const from = (pages.length - 1) * PAGE
    say(caption, rows.length ? `Rows ${number(from + 1)} to ${number(from + rows.length)}${where.length ? ' of those that match' : ''}` : '')
    back.disabled = pages.length < 2
    on.disabled = !following
    const at = body.querySelector('.scroller')
    const [left, top] = [at?.scrollLeft ?? 0, at?.scrollTop ?? 0]
    if (rows.length) show(body, grid(about, rows, sort, wanted => go(where, wanted)))
    else if (where.length) show(body, empty('search', 'No row matches', 'Take a condition away, or change one.'))
    else show(body, empty('data', 'No rows yet', 'They appear here as soon as a job stores them.'))
    body.querySelector('.scroller')?.scrollTo(left, top)
  }

  /**
   * @param {string[]} conditions
   * @param {string} order
   */
  const go = (conditions, order) => { location.hash = `#/data/${name}${queryOf({ where: conditions, sort: order })}` }

  await load()
  onJobs(signal, (jobs, isNews) => {
    const filling = jobs.filter(job => job.dataset === name && job.state === 'running')
    show(state, filling.length > 0 && pill('running', `filling · ${number(filling.reduce((sum, job) => sum + job.counts.inserted + job.counts.updated, 0))} rows so far`))
    if (!filling.length && !isNews) return
    on.disabled = !following && shown < PAGE
    if (shown < PAGE || (isNews && pages.length === 1)) load()
  })
  return page(name, { back: ['Data', '#/data'], lead: [`${about.columns.length} columns${about.keys ? ` · key ${about.keys.join(', ')}` : ''} `, state], actions: tools(name, where, about) },
    conditions(about, where, changed => go(changed, sort)), body,
    h('div', { class: 'row spread' }, caption, h('div', { class: 'actions' }, back, on)))
}

/**
 * @param {string} name
 * @param {string[]} where
 */
function tools(name, where, /** @type {any} */ about) {
  const hasColumns = about.columns.length > 0
  return [
    ...['csv', 'ndjson', 'parquet'].map(format => hasColumns && h('a', { class: 'button', href: `/v1/datasets/${name}/export${queryOf({ format, where })}`, download: '', 'aria-label': `Download ${where.length ? 'these rows' : name} as ${format.toUpperCase()}` }, icon('download'), { csv: 'CSV', ndjson: 'NDJSON', parquet: 'Parquet' }[format])),
    h('a', { class: 'button', href: `#/data/${name}/compare` }, icon('compare'), 'Compare'),
    button('Delete', () => remove(name, () => { location.hash = '#/data' }), { sign: 'delete', kind: 'danger', acts: true }),
  ]
}

/**
 * The conditions, each to be taken away, and one more to be put in.
 * @param {any} about
 * @param {string[]} where
 * @param {(where: string[]) => void} changed
 */
function conditions(about, where, changed) {
  if (!about.columns.length) return null
  const column = select(about.columns.map((/** @type {any} */ c) => c.name), about.columns[0].name)
  const value = h('input', { autocomplete: 'off', spellcheck: false })
  const operator = select(OPERATORS, '=', chosen => { value.disabled = chosen.includes('null') })
  const add = (/** @type {Event} */ event) => {
    event.preventDefault()
    changed([...where, `${column.value}${operator.value}${value.disabled ? '' : value.value}`])
  }
  return h('form', { class: 'conditions', 'aria-label': 'Conditions', onsubmit: add },
    field('Column', column), field('Condition', operator), field('Value', value), button('Add', () => {}, { sign: 'plus', type: 'submit' }),
    where.length > 0 && h('ul', { class: 'chips', 'aria-label': 'Conditions that hold' }, where.map(each => h('li', {}, h('code', {}, each),
      button('', () => changed(where.filter(one => one !== each)), { sign: 'close', kind: 'quiet', label: `Remove condition ${each}` })))))
}

/**
 * @param {any} about
 * @param {Record<string, unknown>[]} rows
 * @param {string} sort
 * @param {(sort: string) => void} sorted
 */
function grid(about, rows, sort, sorted) {
  const head = about.columns.map((/** @type {any} */ { name, type }) => {
    const order = sort === name ? 'ascending' : sort === `-${name}` ? 'descending' : 'none'
    const next = { none: name, ascending: `-${name}`, descending: '' }[order]
    return h('th', { scope: 'col', 'aria-sort': type === 'jsonb' ? undefined : order, class: NUMERIC.has(type) ? 'end' : undefined },
      type === 'jsonb' ? name : h('button', { type: 'button', class: 'sorter', onclick: () => sorted(next) }, name), h('small', {}, type))
  })
  const cell = (/** @type {any} */ row, /** @type {any} */ { name, type }) => {
    const value = row[name]
    return value === null ? h('td', { class: `cut null${NUMERIC.has(type) ? ' end' : ''}` }, 'null') : h('td', { class: NUMERIC.has(type) ? 'cut end' : 'cut', title: typeof value === 'string' && value.length > 40 ? value : undefined }, plain(value))
  }
  return table(`Rows of ${about.name}`, [h('th', { scope: 'col', class: 'end' }, 'row'), ...head],
    rows.map(row => h('tr', {}, h('th', { scope: 'row', class: 'end muted' }, plain(row._row)), about.columns.map((/** @type {any} */ column) => cell(row, column)))), 'grid')
}
