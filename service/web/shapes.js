/** Shapes of content: controls with their labels, tables, facts and figures. */

import { h, newId } from './dom.js'

/**
 * @typedef {import('./dom.js').Child} Child
 * @typedef {import('./parts.js').Told} Told
 */

/**
 * A labelled control.
 * @param {string} label
 * @param {any} control
 * @param {Child | Child[]} [hint]
 * @param {string} [kind] `wide`, for what has long names in it
 */
export function field(label, control, hint, kind = '') {
  control.id ||= newId('field')
  const help = hint && h('p', { class: 'hint', id: `${control.id}-hint` }, hint)
  if (help) control.setAttribute('aria-describedby', help.id)
  return h('div', { class: `field ${kind}` }, h('label', { for: control.id }, label), control, help)
}

/**
 * A text in which names stand between backticks, as the service's descriptions have them.
 * @param {string} [text]
 * @returns {Child[]}
 */
export const described = (text = '') => text.split('`').map((part, index) => (index % 2 ? h('code', {}, part) : part))

/**
 * @param {(string | [string, string])[]} choices values, or values and what they are called
 * @param {string} value
 * @param {(value: string) => void} [onchange]
 * @param {Record<string, unknown>} [more]
 */
export function select(choices, value, onchange, more = {}) {
  const options = choices.map(choice => (typeof choice === 'string' ? [choice, choice] : choice))
  const made = h('select', more, options.map(([name, title]) => h('option', { value: name, selected: name === value }, title)))
  made.addEventListener('change', () => onchange?.(made.value))
  return made
}

/**
 * @param {string} state
 * @param {string} [text]
 */
export const pill = (state, text = state) => h('span', { class: 'pill', 'data-state': state }, text)

/** @param {Told} problem */
export const problemBox = problem => h('div', { class: 'problem', role: 'alert' }, h('strong', {}, problem.message), problem.suggestion && ` ${problem.suggestion}`)

/**
 * A table in a frame that scrolls when it has to.
 * @param {string} label
 * @param {Child[]} head cells' content; what is a `th` already stays
 * @param {Child[]} rows `tr` elements
 * @param {string} [kind]
 */
export function table(label, head, rows, kind = '') {
  const cells = head.map(cell => (cell instanceof HTMLTableCellElement ? cell : h('th', { scope: 'col' }, cell)))
  return h('div', { class: `scroller ${kind}`, tabIndex: 0, role: 'region', 'aria-label': label }, h('table', {}, h('thead', {}, h('tr', {}, cells)), h('tbody', {}, rows)))
}

/**
 * Names and values beside each other.
 * @param {([string, Child | Child[], string?] | false | null | undefined)[]} pairs name, value, and `wide` for a long one
 */
export const facts = pairs => h('dl', { class: 'facts' }, pairs.map(pair => pair && pair[1] !== null && pair[1] !== undefined && h('div', { class: pair[2] }, h('dt', {}, pair[0]), h('dd', {}, pair[1]))))

/**
 * Figures to be seen first.
 * @param {[string, Child, string?, string?][]} figures name, value, what it says more, `bad`, `warn` or nothing
 */
export const figures = figures => h('dl', { class: 'figures' }, figures.map(([name, value, more, kind]) => h('div', { 'data-kind': kind }, h('dt', {}, name), h('dd', {}, value, more && h('small', {}, more)))))
