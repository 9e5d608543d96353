/** The rows that a job refused: why, mended in place or in a table on the way, and sent back. */

import { get, millrace, send } from '../api.js'
import { h, icon, say, show } from '../dom.js'
import { number, plural } from '../format.js'
import { button, empty, notice, page } from '../parts.js'
import { problemBox, table } from '../shapes.js'

const PAGE = 50

/** @type {import('../app.js').Open} */
export async function open({ path: [id = ''], signal }) {
  let job = await get(`/v1/jobs/${id}`, {}, { signal })
  /** @type {any[]} */
  let rejects = []
  /** @type {string[]} */
  let columns = []
  /** @type {string | null} */
  let cursor = null
  /** @type {Map<number, Map<string, string>>} what was changed, by row and column */
  const changed = new Map()
  const body = h('div', { class: 'stack' })
  const outcome = h('div', { role: 'status' })
  const count = h('p', { role: 'status' })
  const more = button('Show more', () => load(), { kind: 'quiet' })
  const bar = h('div', { class: 'sticky', hidden: true }, count, button('Undo changes', () => { changed.clear(); draw() }, { kind: 'quiet' }), button('Send back', sendBack, { kind: 'primary', sign: 'upload', acts: true }))

  async function load(isAgain = false) {
    const told = await get(`/v1/jobs/${id}/rejects`, { limit: PAGE, cursor: isAgain ? null : cursor }, { signal })
    rejects = isAgain ? told.rejects : [...rejects, ...told.rejects]
    columns = told.columns
    cursor = told.next_cursor
    draw()
  }

  function draw() {
    more.hidden = !cursor
    counted()
    if (!rejects.length) return show(body, empty('check', 'No row is refused', job.dataset ? 'All rows of this job are stored.' : '', job.dataset && h('a', { class: 'button', href: `#/data/${job.dataset}` }, 'See the rows')))
    show(body, table('Refused rows', [h('th', { scope: 'col', class: 'end' }, 'Row'), 'What is wrong', ...columns], rejects.map(row), 'rejects'))
  }

  /** @param {any} reject */
  function row(reject) {
    const faults = reject.faults.length ? reject.faults : [reject]
    const cells = shown(reject, columns.length)
    const why = `why-${reject.row}`
    return h('tr', {},
      h('th', { scope: 'row', class: 'end', title: `Line ${reject.line}` }, number(reject.row)),
      h('td', { class: 'why' }, h('ul', { id: why }, faults.map((/** @type {any} */ fault) => h('li', {}, ...(fault.column ? [h('button', { type: 'button', class: 'named', onclick: (/** @type {Event} */ event) => cellOf(event, fault.column)?.focus() }, fault.column), ': '] : []), fault.message, h('span', {}, ` ${fault.suggestion}`)))),
        (columns.length === 0 || reject.cells === null || reject.cells.length !== columns.length) && h('details', {}, h('summary', {}, 'As it stands in the file'), h('pre', { class: 'json' }, reject.raw || '(an empty line)'))),
      columns.map((column, index) => h('td', {}, cell(reject, column, cells[index] ?? '', faults.some((/** @type {any} */ fault) => fault.column === column || matches(fault.column, column)), why))))
  }

  /**
   * @param {any} reject
   * @param {string} column
   * @param {string} was
   * @param {boolean} isBad
   * @param {string} why
   */
  function cell(reject, column, was, isBad, why) {
    const value = changed.get(reject.row)?.get(column) ?? was
    const made = h('textarea', { class: 'cell', rows: 1, spellcheck: false, 'data-column': column, 'aria-label': `${column} of row ${reject.row}`, 'aria-invalid': isBad ? 'true' : undefined, 'aria-describedby': isBad ? why : undefined })
    made.value = value
    made.classList.toggle('changed', value !== was)
    made.addEventListener('input', () => {
      const mine = changed.get(reject.row) ?? new Map()
      if (made.value === was) mine.delete(column)
      else mine.set(column, made.value)
      if (mine.size) changed.set(reject.row, mine)
      else changed.delete(reject.row)
      made.classList.toggle('changed', made.value !== was)
      counted()
    })
    return made
  }

  function counted() {
    bar.hidden = changed.size === 0
    say(count, `${plural(changed.size, 'row')} changed`)
  }

  async function sendBack() {
    // A row that was not as wide as the header is sent whole, so that it is made of the cells that are seen here.
    const rows = [...changed].map(([row, mine]) => {
      const reject = rejects.find(each => each.row === row)
      const isWhole = reject.cells !== null && reject.cells.length === columns.length
      const cells = shown(reject, columns.length)
      return { row, values: isWhole ? Object.fromEntries(mine) : Object.fromEntries(columns.map((column, index) => [column, mine.get(column) ?? cells[index]])) }
    })
    await settle(await send('POST', `/v1/jobs/${id}/rejects`, { rows }))
    changed.clear()
    await load(true)
  }

  /** @param {File} file */
  async function sendTable(file) {
    const response = await millrace.request(`/v1/jobs/${id}/rejects`, { method: 'POST', body: file, headers: { 'Content-Type': 'text/csv' } })
    await settle(await response.json())
    changed.clear()
    await load(true)
  }

  /** @param {any} correction */
  async function settle(correction) {
    show(outcome, h('p', { class: 'tip' }, 'Sent back. Looking what becomes of them …'))
    const end = await millrace.follow(correction.id, { signal })
    job = await get(`/v1/jobs/${id}`, {}, { signal })
    const { inserted, updated, rejected } = end.counts
    const link = h('a', { href: `#/jobs/${end.id}` }, 'correction')
    if (end.state !== 'completed') show(outcome, problemBox(end.problem ?? { message: `The correction was ${end.state}.` }))
    else show(outcome, h('p', { class: rejected ? 'tip warn' : 'tip good' }, `${plural(inserted + updated, 'row')} brought in by this `, link, rejected ? `; ${number(rejected)} still wrong, with the reason below.` : '.'))
    notice(`${plural(inserted + updated, 'row')} brought in${rejected ? `, ${number(rejected)} still wrong` : ''}.`, rejected ? 'bad' : 'good')
  }

  await load()
  const file = h('input', { type: 'file', accept: '.csv,text/csv', class: 'unseen', tabIndex: -1, 'aria-label': 'A corrected table', onchange: () => file.files[0] && sendTable(file.files[0]).catch(problem => notice(problem, 'bad')).finally(() => { file.value = '' }) })
  const head = { back: /** @type {[string, string]} */ (['The job', `#/jobs/${id}`]), lead: ['Mend the marked cells here and send the rows back, or take the table along, correct it, and bring it back. Rows that are still wrong stay, with their new reason.'] }
  const has = rejects.length > 0
  return page(`Refused rows${job.dataset ? ` of ${job.dataset}` : ''}`, { ...head, actions: [has && h('a', { class: 'button', href: `/v1/jobs/${id}/rejects?format=csv`, download: '' }, icon('download'), 'Download CSV'), has && button('Upload corrected CSV', () => file.click(), { sign: 'upload', acts: true }), file] }, outcome, body, more, bar)
}

/**
 * A reject's fields under so many columns, as the table to correct has them: too few are filled up, too many stand in
 * the last one, a row that could not be cut stands in the first.
 * @param {any} reject
 * @param {number} width
 * @returns {string[]}
 */
function shown({ cells, raw }, width) {
  if (cells === null) return [raw, ...Array(Math.max(0, width - 1)).fill('')]
  const fields = cells.map((/** @type {string | null} */ each) => each ?? '')
  if (fields.length <= width) return [...fields, ...Array(width - fields.length).fill('')]
  return [...fields.slice(0, width - 1), fields.slice(width - 1).join(',')]
}

/**
 * Whether a dataset's column is named for the file's, as the service does it.
 * @param {string | null} column
 * @param {string} header
 */
const matches = (column, header) => column !== null && header.normalize('NFKC').toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '_').replace(/^_+|_+$/g, '') === column

/**
 * The cell of a column in the row that an event is in.
 * @param {Event} event
 * @param {string} column
 */
function cellOf({ target }, column) {
  const cells = /** @type {HTMLElement} */ (target).closest('tr')?.querySelectorAll('textarea') ?? []
  return [...cells].find(cell => cell.dataset.column === column || matches(column, cell.dataset.column ?? ''))
}
