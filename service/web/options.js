/** Controls for what a processor takes, from its options' JSON Schema. */

import { h } from './dom.js'
import { percent, plain } from './format.js'
import { described, field, select } from './shapes.js'

const SHOWN = { ',': 'comma', ';': 'semicolon', '\t': 'tab', ' ': 'space', '|': '|', '': 'none' }

/**
 * What was found out about a file as a whole, by the option that would overrule it.
 * @param {any} found
 * @returns {Record<string, {value: string, why: string}>}
 */
export function evidence({ evidence: told }) {
  const whole = (told ?? []).filter((/** @type {any} */ each) => !each.column)
  return Object.fromEntries(whole.map((/** @type {any} */ each) => [each.subject, { value: /** @type {any} */ (SHOWN)[each.value] ?? plain(each.value), why: `${percent(each.confidence)} sure: ${each.why}` }]))
}

/**
 * Controls for options. `values()` are those that were filled in, as the API takes them; it raises SyntaxError where
 * one that has to be JSON is none.
 * @param {any} schema
 * @param {Record<string, unknown>} given
 * @param {{without?: Set<string>, changed?: () => void, found?: Record<string, {value: string, why: string}>}} [how] `found`: what is taken where nothing is said, and why
 * @returns {{element: Element, values: () => Record<string, unknown>}}
 */
export function optionFields(schema, given, { without = new Set(), changed, found = {} } = {}) {
  /** @type {Map<string, () => unknown>} */
  const read = new Map()
  const fields = Object.entries(/** @type {Record<string, any>} */ (schema.properties ?? {})).filter(([name]) => !without.has(name)).map(([name, about]) => {
    const [control, value] = controlFor(resolved(about, schema), given[name], found[name]?.value)
    if (changed) control.addEventListener('change', changed)
    read.set(name, value)
    return field(name.replaceAll('_', ' '), control, found[name]?.why ?? (about.description && described(about.description)))
  })
  return {
    element: h('div', { class: 'fields' }, fields),
    values: () => Object.fromEntries([...read].map(([name, value]) => [name, value()]).filter(([, value]) => value !== undefined)),
  }
}

/**
 * @param {any} about
 * @param {any} schema
 * @returns {any} the property without `$ref` and without its null
 */
function resolved(about, schema) {
  if (about.$ref) return { ...schema.$defs[about.$ref.split('/').pop()], default: about.default }
  const some = (about.anyOf ?? []).filter((/** @type {any} */ each) => each.type !== 'null')
  return some.length === 1 ? { ...resolved(some[0], schema), default: about.default } : about
}

/**
 * @param {any} about
 * @param {any} given
 * @param {string} [found]
 * @returns {[any, () => unknown]} the control, and what reads it; undefined is: as by default
 */
function controlFor(about, given, found) {
  const byDefault = about.default === null || about.default === undefined ? '' : about.default
  if (about.enum || about.type === 'boolean') {
    const values = about.enum ?? ['true', 'false']
    const made = select([['', found !== undefined ? `found: ${found}` : byDefault === '' ? 'found out' : `${byDefault}`], ...values.filter((/** @type {any} */ each) => String(each) !== String(byDefault)).map((/** @type {any} */ each) => [String(each), String(each)])], given === undefined || String(given) === String(byDefault) ? '' : String(given))
    return [made, () => (made.value === '' ? undefined : about.enum ? made.value : made.value === 'true')]
  }
  const isNumber = about.type === 'integer' || about.type === 'number'
  const isPlain = isNumber || about.type === 'string' || about.anyOf?.some((/** @type {any} */ each) => each.type === 'string')
  const shown = given === undefined ? '' : typeof given === 'object' ? JSON.stringify(given) : String(given)
  const made = h('input', { value: shown, type: isNumber ? 'number' : 'text', spellcheck: false, autocomplete: 'off', placeholder: found !== undefined ? `found: ${found}` : byDefault === '' ? '' : typeof byDefault === 'object' ? byDefault.length ? JSON.stringify(byDefault) : '' : String(byDefault) })
  return [made, () => {
    if (made.value === '') return undefined
    if (isNumber) return Number(made.value)
    if (isPlain) return made.value
    if (about.type === 'array' && !made.value.startsWith('[')) return made.value.split(',').map((/** @type {string} */ each) => each.trim())
    return JSON.parse(made.value)
  }]
}
