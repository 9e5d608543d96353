/** Two datasets beside each other: what would change if one took the other's place, and the swap. */

import { get, send } from '../api.js'
import { ask } from '../ask.js'
import { fill } from '../coming.js'
import { h, show } from '../dom.js'
import { number, plain } from '../format.js'
import { button, empty, notice, page } from '../parts.js'
import { field, figures, pill, select, table } from '../shapes.js'

const PAGE = 100

/** @type {import('../app.js').Open} */
export async function open({ path: [name = ''], query, signal }) {
  const { datasets } = await get('/v1/datasets', { limit: 1000 }, { signal })
  const about = datasets.find((/** @type {any} */ each) => each.name === name) ?? (await get(`/v1/datasets/${name}`, {}, { signal }))
  const others = datasets.map((/** @type {any} */ each) => each.name).filter((/** @type {string} */ each) => each !== name)
  const back = /** @type {[string, string]} */ ([name, `#/data/${name}`])
  const lead = 'Import another mapping of a file into a second dataset, see here what differs, and swap the two.'
  if (!others.length) return page(`Compare ${name}`, { back, lead }, empty('compare', 'There is no other dataset', 'Import a file into a second one first.'))

  const other = select(others, query.get('with') ?? others[0])
  const keys = h('input', { value: query.get('keys') ?? about.keys?.join(', ') ?? '', spellcheck: false, required: !about.keys, placeholder: 'id' })
  const result = h('div', { class: 'stack loose' })
  const compare = () => fill(result, difference(name, other.value, keys.value, signal))
  const form = h('form', { class: 'conditions', onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); return compare() } },
    field('With', other), field('Rows belong together by', keys, 'Columns, with commas between them'), button('Compare', () => {}, { kind: 'primary', type: 'submit' }),
    button('Swap the two', () => swap(name, other.value), { sign: 'compare', acts: true }))
  if (keys.value) compare()
  return page(`Compare ${name}`, { back, lead }, form, result)
}

/**
 * @param {string} name
 * @param {string} other
 * @param {string} keys
 * @param {AbortSignal} signal
 */
async function difference(name, other, keys, signal) {
  const told = await get(`/v1/datasets/${name}/diff`, { with: other, keys, limit: PAGE }, { signal, exact: true })
  const { added, removed, changed, same } = told.counts
  const rows = h('div', { class: 'stack' })
  const lines = told.rows.map((/** @type {any} */ row) => line(row, told.keys))
  const list = table(`Rows that differ between ${name} and ${other}`, ['Change', told.keys.join(', '), `In ${name}`, `In ${other}`], lines)
  let cursor = told.next_cursor
  const more = button('Show more', async () => {
    const next = await get(`/v1/datasets/${name}/diff`, { with: other, keys, limit: PAGE, cursor }, { signal, exact: true })
    list.querySelector('tbody').append(...next.rows.map((/** @type {any} */ row) => line(row, told.keys)))
    cursor = next.next_cursor
    more.hidden = !cursor
  }, { kind: 'quiet' })
  more.hidden = !cursor
  show(rows, told.rows.length ? [list, more] : empty('check', 'Nothing differs', 'Both have the same rows.'))
  return [figures([['Added', number(added)], ['Removed', number(removed)], ['Changed', number(changed)], ['The same', number(same)]]), rows]
}

/**
 * @param {any} row
 * @param {string[]} keys
 */
function line(row, keys) {
  const kind = !row.before ? 'added' : !row.after ? 'removed' : 'changed'
  const whole = row.before ?? row.after
  const names = kind === 'changed' ? row.columns : Object.keys(whole).filter(column => !column.startsWith('_') && !keys.includes(column))
  const side = (/** @type {any} */ values) => h('td', {}, values ? h('dl', { class: 'beside' }, names.map((/** @type {string} */ column) => h('div', {}, h('dt', {}, column), h('dd', {}, values[column] === null ? h('span', { class: 'null' }, 'null') : plain(values[column]))))) : h('span', { class: 'muted' }, '–'))
  return h('tr', {}, h('td', {}, pill({ added: 'good', removed: 'bad', changed: 'warn' }[kind], kind)), h('th', { scope: 'row' }, keys.map(key => plain(whole[key])).join(', ')), side(row.before), side(row.after))
}

/**
 * @param {string} name
 * @param {string} other
 */
async function swap(name, other) {
  const answer = await ask(`Swap ${name} and ${other}?`, 'They exchange their names at once, each with its rows and its history.', [{ value: 'yes', label: 'Swap them', kind: 'primary' }], 'Leave them')
  if (answer !== 'yes') return
  await send('POST', `/v1/datasets/${name}/swap`, { with: other })
  notice(`${name} and ${other} have changed places.`)
  location.hash = `#/data/${name}`
}
