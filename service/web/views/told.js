/** What a preview tells, in words: which rows would be refused, where they would fit. */

import { h } from '../dom.js'
import { number } from '../format.js'

/** @param {any[]} rejects */
export function refusedRows(rejects) {
  return h('ul', { class: 'refused' }, rejects.slice(0, 8).map(reject => h('li', {},
    h('p', {}, h('b', {}, `Row ${number(reject.row)}${reject.column ? `, ${reject.column}` : ''}: `), reject.message, h('span', { class: 'muted' }, ` ${reject.suggestion}`)),
    h('pre', {}, reject.raw.slice(0, 400) || '(an empty line)'))))
}

/**
 * The dataset that a file's rows go best to: one of its own name, else one with just its columns; none if there is none.
 * @param {any[]} datasets
 * @param {string} own
 * @param {{name: string}[]} columns
 */
export function target(datasets, own, columns) {
  if (datasets.some(each => each.name === own) || !columns.length) return null
  const names = columns.map(each => each.name).sort().join('\n')
  return datasets.find(each => each.columns.length && each.columns.map((/** @type {any} */ column) => column.name).sort().join('\n') === names)?.name ?? null
}
