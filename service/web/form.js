/** A form for a job to be made. */

import { get } from './api.js'
import { h, show } from './dom.js'
import { DATASET_PATTERN, moment, size } from './format.js'
import { optionFields } from './options.js'
import { field, select } from './shapes.js'

const NO_FILE = new Set(['export', 'undo'])

/**
 * A job to be made: which processor, over what, how. `body()` is that of POST /v1/jobs.
 * @param {{upload?: string | null, processor?: string | null, signal: AbortSignal}} about
 */
export async function jobForm({ upload, processor: first, signal }) {
  const [{ processors }, { datasets }, { uploads }] = await Promise.all([get('/v1/processors', {}, { signal }), get('/v1/datasets', { limit: 1000 }, { signal }), get('/v1/uploads', { limit: 100 }, { signal })])
  const files = uploads.filter((/** @type {any} */ each) => !each.expired_at && !['receiving', 'abandoned'].includes(each.state))
  const listed = files.find((/** @type {any} */ each) => each.id === upload)
  const suffix = /\.[^.]*$/.exec(listed?.name ?? '')?.[0].toLowerCase() ?? ''
  const fitting = processors.find((/** @type {any} */ each) => each.suffixes.includes(suffix))
  /** @type {() => Record<string, unknown>} */
  let read = () => ({})
  const slot = h('div', { class: 'stack' })
  const reads = (/** @type {any} */ known) => 'mode' in (known.options.properties ?? {})
  const choice = select(processors.map((/** @type {any} */ each) => [each.name, `${each.name}: ${each.title}`]), first ?? (listed ? fitting?.name ?? 'csv' : 'export'), draw)

  function draw() {
    const known = processors.find((/** @type {any} */ each) => each.name === choice.value)
    if (reads(known)) {
      const file = select(files.map((/** @type {any} */ each) => [each.id, `${each.name || 'no name'} · ${size(each.size_bytes)} · ${moment(each.created_at)}`]), upload ?? '', undefined, { required: true })
      const target = datasetField(datasets)
      const options = optionFields(known.options, {})
      read = () => ({ upload_id: file.value, dataset: target.value, options: options.values() })
      show(slot, h('div', { class: 'fields' }, field('File', file, files.length ? undefined : ['Upload one on ', h('a', { href: '#/import' }, 'Import'), ' first.'], 'wide'), field('Dataset', target, 'Where its rows go; made if it is not there')),
        h('details', { class: 'options' }, h('summary', {}, 'Options'), options.element))
    } else {
      const [element, value] = inputFor(known.name, datasets)
      const options = optionFields(known.options, {})
      read = () => ({ input: value(), ...(Object.keys(options.values()).length ? { options: options.values() } : {}) })
      show(slot, element, options.element)
    }
  }

  draw()
  return { element: h('div', { class: 'stack' }, h('div', { class: 'fields' }, field('Processor', choice, undefined, 'wide')), slot), body: () => ({ processor: choice.value, ...read() }), noFile: NO_FILE }
}

/** @param {any[]} datasets */
function datasetField(datasets) {
  const list = h('datalist', { id: 'known-datasets' }, datasets.map(each => h('option', { value: each.name })))
  const input = h('input', { required: true, pattern: DATASET_PATTERN, title: 'Small letters, digits and _, beginning with a letter', list: list.id, spellcheck: false, autocomplete: 'off' })
  queueMicrotask(() => input.after(list))
  return input
}

/**
 * @param {string} processor
 * @param {any[]} datasets
 * @returns {[Element, () => unknown]}
 */
function inputFor(processor, datasets) {
  if (processor === 'export') {
    const dataset = select(datasets.map(each => each.name), '', undefined, { required: true })
    const format = select([['csv', 'CSV'], ['ndjson', 'NDJSON, one object a line'], ['parquet', 'Parquet']], 'csv')
    const hint = datasets.length ? undefined : 'There is none yet.'
    return [h('div', { class: 'fields' }, field('Dataset', dataset, hint), field('Format', format)), () => ({ dataset: dataset.value, format: format.value })]
  }
  if (processor === 'undo') {
    const job = h('input', { required: true, spellcheck: false, pattern: '[0-9a-fA-F\\-]{32,36}', placeholder: 'the id of the job to take back' })
    return [h('div', { class: 'fields' }, field('Job', job)), () => ({ job_id: job.value.trim() })]
  }
  const text = h('textarea', { class: 'mono', value: '{}', spellcheck: false })
  return [field('Input, as JSON', text), () => JSON.parse(text.value || '{}')]
}
