/** One file on its way in: looked into, mapped, sent; then its job. */

import { millrace, Problem, send } from '../api.js'
import { h, icon, newId, say, show } from '../dom.js'
import { datasetName, DATASET_PATTERN, number, plural, size } from '../format.js'
import { button } from '../parts.js'
import { field, pill, problemBox, select } from '../shapes.js'
import { Mapping } from './mapping.js'
import { refusedRows, target } from './told.js'

const SAMPLE = 1024 * 1024
const SOON_MS = 500
/** Formats whose beginning alone says nothing: a zip's table of contents is at its end. */
const WHOLE = /\.(xlsx|xlsm|xls|xlsb|ods|apkg|colpkg|zip|gz|zst|bz2|xz)$/i
const OF_MODE = ['mode', 'keys', 'on_conflict', 'max_rejects']
/** What the mapping sets better than a form of text fields. */
const OF_MAPPING = ['columns', 'types', 'rename', 'drop', 'others']

export class Plan {
  /** @type {'looking' | 'ready' | 'trouble' | 'sending' | 'sent'} */
  state = 'looking'
  onchange = () => {}
  onremove = () => {}
  /** @type {any} the upload, where the file is here already */
  upload = null
  /** @type {any} */
  found = null
  #asking = new AbortController()
  #timer = 0
  /** @type {() => Record<string, unknown>} */
  #dialect = () => ({})
  /** @type {import('../client/millrace.js').Transfer | null} */
  #transfer = null

  /**
   * @param {File} file
   * @param {any[]} processors
   * @param {any[]} datasets
   */
  constructor(file, processors, datasets) {
    this.file = file
    this.processors = processors.filter(each => 'mode' in (each.options.properties ?? {}))
    this.datasets = datasets
    this.mapping = new Mapping(() => this.#soon())
    this.processor = select(this.processors.map(each => [each.name, each.title]), '', () => this.#look(true))
    const list = h('datalist', { id: newId('datasets') }, datasets.map(each => h('option', { value: each.name })))
    this.dataset = h('input', { value: datasetName(file.name), required: true, pattern: DATASET_PATTERN, title: 'Small letters, digits and _, beginning with a letter', list: list.id, spellcheck: false, autocomplete: 'off', onchange: () => { this.#chosen = true; this.#soon() } })
    this.mode = select([['append', 'Add the rows'], ['upsert', 'Update by key, add the rest'], ['replace', 'Replace all rows']], 'append', () => { this.#modes(); this.#soon() })
    this.keys = h('input', { spellcheck: false, autocomplete: 'off', placeholder: 'id', onchange: () => this.#soon() })
    this.conflict = select([['update', 'change the columns of the file'], ['replace', 'replace the row'], ['skip', 'leave the row']], 'update', () => this.#soon())
    this.#build(list)
    this.#look(true)
  }
  #chosen = false

  /** @param {Element} list */
  #build(list) {
    const title = newId('file')
    this.pill = h('span')
    this.says = h('div', { role: 'status' })
    this.why = h('span')
    this.there = h('span')
    this.body = h('div', { class: 'stack' })
    this.remove = button('', () => { this.#asking.abort(); this.#transfer?.abort(); this.onremove() }, { sign: 'close', kind: 'quiet', label: `Take ${this.file.name} away` })
    this.keysField = field('Key columns', this.keys, 'Columns that name a row, with commas between them')
    this.conflictField = field('A row that is there', this.conflict)
    this.form = h('form', { class: 'fields', onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
      field('Read as', this.processor, this.why), field('Into the dataset', this.dataset, this.there), field('Rows', this.mode), this.keysField, this.conflictField, list)
    this.element = h('div', { class: 'card stack', role: 'listitem', tabIndex: -1, 'aria-labelledby': title },
      h('div', { class: 'file-head' }, icon('files'), h('h2', { id: title }, this.file.name, h('span', { class: 'muted' }, ` ${size(this.file.size)}`)), this.pill, this.remove),
      this.says, this.body)
    this.#modes()
  }

  #modes() {
    this.keysField.hidden = this.mode.value === 'append'
    this.conflictField.hidden = this.mode.value !== 'upsert'
  }

  /** What the job is to be told. */
  options() {
    const mode = this.mode.value === 'append' ? {} : { mode: this.mode.value, ...(this.keys.value && { keys: this.keys.value.split(',').map((/** @type {string} */ each) => each.trim()) }), ...(this.mode.value === 'upsert' && { on_conflict: this.conflict.value }) }
    return { ...this.#dialect(), ...mode, ...this.mapping.options() }
  }

  #soon() {
    clearTimeout(this.#timer)
    this.#timer = window.setTimeout(() => this.#look(false), SOON_MS)
  }

  /** Ask what would become of the file. @param {boolean} isAnew whether it may be cut into other columns than before @returns {Promise<void>} */
  async #look(isAnew, scope = 'sample') {
    if (this.state === 'sending' || this.state === 'sent') return
    this.#asking.abort()
    const asking = (this.#asking = new AbortController())
    this.#become('looking', scope === 'file' ? 'Reading the whole file …' : '')
    if (isAnew) this.mapping.forget()
    try {
      await this.#needed(scope, asking.signal)
      const first = !this.found
      const asked = { processor: this.processor.value && this.found ? this.processor.value : undefined, dataset: this.found ? this.#target() : undefined, options: this.found ? this.options() : {}, scope, signal: asking.signal }
      const found = await millrace.preview(this.upload?.id ?? this.file, /** @type {any} */ (asked))
      if (asking.signal.aborted) return
      this.found = found
      const hasToFit = first && this.#suggest()
      this.#show(isAnew)
      if (hasToFit) await this.#look(false) // of a dataset whose columns are others, the mapping is there to mend that
    } catch (problem) {
      if (asking.signal.aborted) return
      this.#become('trouble')
      show(this.says, problemBox(/** @type {Error} */ (problem)), h('div', { class: 'actions' }, button('Look again', () => this.#look(true), { sign: 'again' })))
      if (!this.body.childElementCount) show(this.body, this.form)
    }
  }

  /** A dataset whose columns the rows have to fit, if there is one of that name. */
  #target() {
    return this.datasets.some((/** @type {any} */ each) => each.name === this.dataset.value) ? this.dataset.value : undefined
  }

  /** Send the file first, where its beginning does not do. @param {string} scope @param {AbortSignal} signal */
  async #needed(scope, signal) {
    const isLarge = this.file.size > SAMPLE
    if (this.upload || !isLarge || (scope === 'sample' && !WHOLE.test(this.file.name))) return
    await this.#send({}, 'It is sent first: its beginning alone does not tell.', signal)
  }

  /** Whether the rows have to fit a dataset that is there, which asks for another look. */
  #suggest() {
    const { processor, columns } = this.found
    this.processor.value = processor
    const known = this.processors.find((/** @type {any} */ each) => each.name === processor)
    const suffix = /\.[^.]*$/.exec(this.file.name)?.[0].toLowerCase() ?? ''
    say(this.why, known?.suffixes.includes(suffix) ? `Because of ${suffix}` : 'By its first bytes')
    if (this.#chosen) return false
    const fit = target(this.datasets, this.dataset.value, columns)
    if (fit) this.dataset.value = fit
    return this.#target() !== undefined
  }

  /** @param {boolean} isAnew */
  #show(isAnew) {
    const { counts, is_whole: isWhole, scope, columns, problem } = this.found
    const known = this.processors.find((/** @type {any} */ each) => each.name === this.found.processor)
    const there = this.datasets.find((/** @type {any} */ each) => each.name === this.dataset.value)
    say(this.there, there ? `It is there, with ${plural(there.columns.length, 'column')}${this.#chosen || there.name === datasetName(this.file.name) ? '' : ' of these names'}` : 'A new one')
    this.mapping.update(columns, isAnew)
    const isAll = scope === 'file' || (isWhole && (this.upload !== null || this.file.size <= SAMPLE))
    const stored = counts.inserted + counts.updated
    const counted = h('p', { class: 'counted' }, h('span', { class: 'muted' }, isAll ? 'The whole file:' : 'Its first MiB:'), h('span', {}, h('b', {}, number(counts.read)), ' rows read'), h('span', {}, h('b', {}, number(stored)), ' would be stored'),
      counts.skipped > 0 && h('span', {}, h('b', {}, number(counts.skipped)), ' left as they are'), h('span', { class: counts.rejected ? 'bad' : '' }, h('b', {}, number(counts.rejected)), ' refused'))
    const isOpen = this.body.querySelector('details.dialect')?.open ?? false
    const focused = this.body.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null
    show(this.body, this.form, counted, this.mapping.element,
      this.found.rejects.length > 0 && h('details', {}, h('summary', {}, `Why rows would be refused`), refusedRows(this.found.rejects)),
      this.#howItIsRead(known, isOpen),
      h('div', { class: 'actions' }, button('Import', () => this.go(), { kind: 'primary', sign: 'import' }), !isAll && button('Check the whole file', () => this.#look(false, 'file'), {})))
    if (focused) this.#focusAgain(focused)
    show(this.says, problem && problemBox(problem))
    this.#become('ready')
  }

  /** Whoever is in a field or on a button stays there while all around is shown anew. @param {HTMLElement} focused */
  #focusAgain(focused) {
    const same = [...this.body.querySelectorAll('button')].find(each => each.textContent === focused.textContent)
    if (this.body.contains(focused)) focused.focus()
    else same?.focus()
  }

  /**
   * The options of its processor, once somebody wants to see them.
   * @param {any} known
   * @param {boolean} isOpen
   */
  #howItIsRead(known, isOpen) {
    const { found } = this
    const slot = h('div')
    const fill = async () => {
      if (slot.childElementCount || !details.open) return
      const { evidence, optionFields } = await import('../options.js')
      if (slot.childElementCount || found !== this.found) return
      const options = optionFields(known.options, this.#dialect(), { without: new Set([...OF_MODE, ...OF_MAPPING]), changed: () => this.#look(true), found: evidence(found) })
      this.#dialect = () => options.values()
      show(slot, options.element)
    }
    const details = h('details', { class: 'dialect', open: isOpen, ontoggle: fill }, h('summary', {}, 'How it is read'), slot)
    return details
  }

  /** Send the file and start its job. */
  async go() {
    if (!this.form.reportValidity()) return
    clearTimeout(this.#timer)
    this.#asking.abort()
    const job = { processor: this.processor.value, dataset: this.dataset.value, options: this.options() }
    try {
      await this.#start(job)
    } catch (problem) {
      if (/** @type {any} */ (this.#transfer)?.state === 'aborted') return
      this.#become('trouble')
      show(this.says, problemBox(/** @type {Problem} */ (problem)), h('div', { class: 'actions' }, button('Try again', () => this.go(), { sign: 'again', kind: 'primary' }), button('Look again', () => this.#look(false))))
    }
  }

  /** @param {any} job */
  async #start(job, again = false) {
    if (this.upload) {
      this.#become('sending')
      return this.#sent(await send('POST', '/v1/jobs', { ...job, upload_id: this.upload.id, again }))
    }
    const { job: made, upload } = await this.#send({ ...job, ...(again && { again }) }, '')
    this.upload = upload
    await this.#sent(made)
  }

  /**
   * @param {any} job
   * @param {string} why
   * @param {AbortSignal} [signal]
   */
  async #send(job, why, signal) {
    this.#become('sending')
    const transfer = (this.#transfer = millrace.upload(this.file, job))
    signal?.addEventListener('abort', () => transfer.abort())
    this.#holdFocus()
    this.body.hidden = true
    try {
      show(this.says, (await import('./sending.js')).underway(transfer, why))
      const came = await transfer.done
      this.upload ??= came.upload
      return came
    } finally {
      this.body.hidden = false
      show(this.says)
      this.state = 'looking'
    }
  }

  /** @param {any} job */
  async #sent(job) {
    this.#become('sent')
    const isOld = job.duplicate_of !== null || job.upload_id !== this.upload.id // then this copy is not kept
    if (isOld) this.upload = null
    const again = () => this.#start({ processor: this.processor.value, dataset: this.dataset.value, options: this.options() }, true)
    const arrived = (await import('./sending.js')).arrived(job, isOld ? again : null)
    this.#holdFocus()
    show(this.says, arrived)
    show(this.body)
    this.onchange()
  }

  /** Whoever is on a button that goes now stays at this file, and is not put at the page's start. */
  #holdFocus() {
    if (this.element.contains(document.activeElement)) this.element.focus()
  }

  /** @param {Plan['state']} state */
  #become(state, text = '') {
    this.state = state
    show(this.pill, { looking: pill('', text || 'looking …'), ready: pill('good', 'ready'), trouble: pill('bad', 'needs you'), sending: pill('running', 'sending'), sent: pill('completed', 'sent') }[state])
    this.element.setAttribute('aria-busy', String(state === 'looking'))
    this.onchange()
  }
}
