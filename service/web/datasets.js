/** `<millrace-datasets>` and `<millrace-dataset>`: what the jobs have filled, to look into and to download. */

import { exactly, get } from './api.js'
import { arrange, h, say, show } from './dom.js'
import { download } from './download.js'
import { plural } from './format.js'
import { hasEnded, live } from './live.js'

/** @typedef {import('./api.js').Dataset} Dataset */

const PAGE = 100
const PREVIEW = 50
const EVERY_MS = 2_000
const NUMERIC = new Set(['integer', 'bigint', 'double', 'numeric'])

class MillraceDatasets extends HTMLElement {
  /** @type {Map<string, MillraceDataset>} */
  #entries = new Map()
  /** @type {string | null} */
  #cursor = null
  #signs = ''
  #isDue = false

  connectedCallback() {
    this.empty = h('p', { class: 'empty' }, 'Looking …')
    this.list = h('div', { class: 'stack' })
    this.more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => this.#load(this.#cursor) }, 'Show more datasets')
    this.append(this.empty, this.list, this.more)
    live.addEventListener('change', () => this.#soon())
  }

  /** Jobs changed. A few times a minute is enough to look what that means here. */
  #soon() {
    if (this.#isDue) return
    this.#isDue = true
    setTimeout(() => { this.#isDue = false; this.#follow() }, this.#signs ? EVERY_MS : 0)
  }

  async #follow() {
    const jobs = [...live.known.values()].map(({ job }) => job)
    const filling = new Set(jobs.filter(job => job.state === 'running').map(job => job.dataset))
    const signs = jobs.map(job => `${job.id}${job.state}${Number(job.counts.read > 0)}`).sort().join()
    if (signs !== this.#signs && live.isLoaded) {
      this.#signs = signs
      await this.#load(null)
    }
    for (const [name, entry] of this.#entries) entry.fill(filling.has(name))
  }

  /** @param {string | null} cursor */
  async #load(cursor) {
    let page
    try {
      page = await get('/v1/datasets', { limit: PAGE, ...(cursor ? { cursor } : {}) })
    } catch {
      this.#signs = '' // the next change tries again; the page says that the line is down
      return
    }
    for (const dataset of page.datasets) this.#entry(dataset.name).update(dataset)
    if (cursor || this.#entries.size <= PAGE) this.#cursor = page.next_cursor
    this.more.hidden = this.#cursor === null
    arrange(this.list, [...this.#entries.keys()].sort().map(name => this.#entry(name)))
    this.empty.hidden = this.#entries.size > 0
    say(this.empty, 'No datasets yet. The first import makes one.')
  }

  /** @param {string} name */
  #entry(name) {
    const entry = this.#entries.get(name) ?? new MillraceDataset()
    this.#entries.set(name, entry)
    return entry
  }
}

class MillraceDataset extends HTMLElement {
  #isFilling = false
  #rows = 0
  #isLoading = false

  /** @param {Dataset} dataset */
  update(dataset) {
    const hasShape = this.about?.columns.length !== dataset.columns.length
    this.about = dataset
    if (!this.firstChild) this.#build(dataset.name)
    this.#describe()
    this.save.disabled = dataset.columns.length === 0
    if (hasShape && !this.panel.hidden) this.#preview()
  }

  /**
   * Whether a job fills it right now.
   * @param {boolean} isFilling
   */
  fill(isFilling) {
    const isNews = isFilling || this.#isFilling
    this.#isFilling = isFilling
    this.#describe()
    if (isNews && !this.panel.hidden && this.#rows < PREVIEW) this.#preview()
  }

  /** @param {string} name */
  #build(name) {
    const panel = `rows-${name}`
    this.className = 'card dataset'
    this.facts = h('span', { class: 'file muted' })
    this.button = h('button', {
      type: 'button', class: 'disclosure', 'aria-expanded': 'false', 'aria-controls': panel, onclick: () => this.#toggle(),
    }, h('span', { class: 'name' }, name), this.facts)
    this.save = h('button', { type: 'button', 'aria-label': `Download ${name} as CSV`, onclick: () => this.#download() }, 'Download CSV')
    this.note = h('p', { class: 'muted note', role: 'status', hidden: true })
    this.table = h('div', { class: 'scroller', tabIndex: 0, role: 'region', 'aria-label': `First rows of ${name}` })
    this.caption = h('p', { class: 'muted' }, 'Looking …')
    this.panel = h('div', { class: 'panel', id: panel, hidden: true }, this.caption, this.table)
    this.append(h('div', { class: 'job-head' }, h('h3', { class: 'title' }, this.button), this.save), this.note, this.panel)
  }

  #describe() {
    const columns = this.about.columns.length
    say(this.facts, `${columns ? plural(columns, 'column') : 'no rows yet'}${this.#isFilling ? ' · filling' : ''}`)
  }

  #toggle() {
    this.panel.hidden = !this.panel.hidden
    this.button.setAttribute('aria-expanded', String(!this.panel.hidden))
    if (!this.panel.hidden) this.#preview()
  }

  async #preview() {
    if (this.#isLoading) return
    this.#isLoading = true
    try {
      const { rows } = await get(`/v1/datasets/${this.about.name}/rows`, { limit: PREVIEW }, exactly)
      this.#rows = rows.length
      say(this.caption, rows.length === PREVIEW ? `The first ${PREVIEW} rows` : rows.length ? `${plural(rows.length, 'row')}` : 'No rows yet.')
      if (rows.length) show(this.table, grid(this.about, rows))
    } catch (problem) {
      say(this.caption, problem.message)
    } finally {
      this.#isLoading = false
    }
  }

  async #download() {
    this.save.disabled = true
    await download(this.about.name, text => { this.note.hidden = false; say(this.note, text) })
    this.save.disabled = false
  }
}

/**
 * @param {Dataset} dataset
 * @param {Record<string, unknown>[]} rows
 */
function grid(dataset, rows) {
  const head = dataset.columns.map(column => h('th', { scope: 'col' }, column.name, h('small', {}, column.type)))
  const line = row => h('tr', {}, h('th', { scope: 'row' }, text(row._row)), dataset.columns.map(column =>
    h('td', { class: row[column.name] === null ? 'null' : NUMERIC.has(column.type) ? 'number' : undefined }, text(row[column.name]))))
  return h('table', {}, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'row'), head)), h('tbody', {}, rows.map(line)))
}

/** @param {unknown} value */
function text(value) {
  if (value === null || value === undefined) return 'null'
  if (typeof value !== 'object') return String(value).replaceAll(/\r?\n/g, ' ↵ ')
  return JSON.isRawJSON?.(value) ? value.rawJSON : JSON.stringify(value)
}

customElements.define('millrace-datasets', MillraceDatasets)
customElements.define('millrace-dataset', MillraceDataset)
