/** Which of a file's columns become which of the dataset's: names, types, with the evidence for them. */

import { h, show } from '../dom.js'
import { percent, plain } from '../format.js'
import { select, table } from '../shapes.js'

const TYPES = ['text', 'integer', 'bigint', 'numeric', 'double', 'boolean', 'date', 'timestamp', 'timestamptz', 'uuid', 'jsonb']

/** @typedef {{isKept: boolean, name: string | null, type: string | null}} Choice null: as found */

export class Mapping {
  /** @type {Map<string, Choice>} by the file's column */
  #choices = new Map()
  /** @type {any[]} every column of the file, also those that are dropped */
  #columns = []
  element = h('div')

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed
  }

  forget() {
    this.#choices.clear()
    this.#columns = []
  }

  /** `drop`, `rename` and `types`, as the processors take them; what was not changed is not named. */
  options() {
    const all = [...this.#choices]
    const drop = all.filter(([, choice]) => !choice.isKept).map(([source]) => source)
    const kept = all.filter(([, choice]) => choice.isKept)
    const rename = Object.fromEntries(kept.filter(([, choice]) => choice.name).map(([source, choice]) => [source, choice.name]))
    const found = new Map(this.#columns.map(column => [keyOf(column), column.name]))
    const types = Object.fromEntries(kept.filter(([, choice]) => choice.type).map(([source, choice]) => [choice.name ?? found.get(source) ?? source, choice.type])) // by the dataset's names
    return { ...(drop.length && { drop }), ...(Object.keys(rename).length && { rename }), ...(Object.keys(types).length && { types }) }
  }

  /**
   * What a preview found. One of the same columns as before only brings their evidence up to date, and leaves the table
   * that somebody is typing in.
   * @param {any[]} columns
   * @param {boolean} isAnew
   */
  update(columns, isAnew) {
    if (isAnew || !this.#columns.length) {
      this.#columns = columns
      return this.#draw()
    }
    const bySource = new Map(columns.map(column => [column.source ?? column.name, column]))
    this.#columns = this.#columns.map(column => ({ ...column, ...pick(bySource.get(keyOf(column))) }))
    this.#columns.forEach((column, index) => {
      const row = this.element.querySelectorAll('tbody tr')[index]
      if (row) row.querySelector('.evident').replaceChildren(...evident(column, this.#choices.get(keyOf(column))))
    })
  }

  #draw() {
    const rows = this.#columns.map(column => this.#row(column))
    show(this.element, rows.length > 0 && table('Columns', [h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'Keep')), 'In the file', 'In the dataset', 'Type', 'How sure', 'Values'], rows, 'mapping'))
  }

  /** @param {any} column */
  #row(column) {
    const key = keyOf(column)
    const choice = () => {
      const made = this.#choices.get(key) ?? { isKept: true, name: null, type: null }
      this.#choices.set(key, made)
      return made
    }
    const keep = h('input', { type: 'checkbox', checked: true, 'aria-label': `Keep ${key}`, onchange: () => {
      choice().isKept = keep.checked
      row.classList.toggle('dropped', !keep.checked)
      name.disabled = type.disabled = !keep.checked
      this.changed()
    } })
    const name = h('input', { value: column.name, spellcheck: false, autocomplete: 'off', 'aria-label': `Name of ${key} in the dataset`, onchange: () => { choice().name = name.value && name.value !== column.name ? name.value : null; name.value ||= column.name; this.changed() } })
    const others = [...new Set([...(column.alternatives ?? []), ...TYPES])].filter(each => each !== column.type)
    const type = select([[column.type, `${column.type}`], .../** @type {[string, string][]} */ (others.map(each => [each, each]))], column.type, chosen => { choice().type = chosen === column.type ? null : chosen; this.changed() }, { 'aria-label': `Type of ${key}` })
    const values = (column.values ?? []).map(plain).join(' · ')
    const row = h('tr', {}, h('td', {}, keep), h('th', { scope: 'row', class: 'cut' }, column.source ?? h('span', { class: 'muted' }, 'made')), h('td', {}, name), h('td', {}, type), h('td', { class: 'evident' }, evident(column)), h('td', { class: 'cut samples', title: values }, values || '–'))
    return row
  }
}

/** @param {any} column */
const keyOf = column => column.source ?? column.name

/** What another preview may tell otherwise of a column. @param {any} column */
const pick = column => column && { confidence: column.confidence, share: column.share, exceptions: column.exceptions, cells: column.cells }

/**
 * @param {any} column
 * @param {Choice} [choice]
 */
function evident(column, choice) {
  if (choice?.type) return [h('span', { class: 'muted' }, 'your choice')]
  if (column.confidence === undefined || column.confidence === null) return [h('span', { class: 'muted' }, 'as the dataset has it')]
  const bar = h('i', { 'aria-hidden': 'true' })
  bar.style.setProperty('--share', String(column.confidence))
  const others = column.exceptions?.length ? h('div', { class: 'said' }, `not ${column.exceptions.map(plain).slice(0, 3).join(', ')}`) : null
  return [h('span', { class: column.confidence < 0.7 ? 'sure low' : 'sure', title: `${column.cells} cells looked at` }, bar, percent(column.confidence)), others].filter(Boolean)
}
