/** `<millrace-monitor>`: the account's jobs, to watch and to steer. */

import { Board } from './board.js'
import { Card } from './card.js'
import { arrange, h, say } from './dom.js'
import { MillraceElement } from './element.js'
import { Herald } from './herald.js'
import { number } from './format.js'
import { isOn, isPossible, turn } from './notify.js'
import { before, groupOf, nameOf, standing, told } from './standing.js'

/** @typedef {import('./types.js').Job} Job */

const GROUPS = /** @type {const} */ ([['active', 'Active'], ['waiting', 'Waiting'], ['failed', 'Failed or cancelled'], ['finished', 'Finished']])
const TICK_MS = 1_000
const SEARCH_MS = 150
const MARGIN = '800px 0px' // how far outside of what is seen cards are filled

export class MillraceMonitor extends MillraceElement {
  static observedAttributes = ['mode']
  /** @type {Board | undefined} */
  #board
  /** @type {Map<string, Card>} */
  #cards = new Map()
  /** @type {Set<string>} ids whose card is to be drawn anew */
  #dirty = new Set()
  /** @type {import('./selection.js').Selection | undefined} from the first choice on */
  #selection
  #herald = new Herald(this)
  /** @type {IntersectionObserver | undefined} */
  #sight
  /** @type {AbortController | undefined} */
  #running
  /** @type {import('./card.js').Owner | undefined} */
  #owner
  #isDue = false
  #isReordered = true
  #searching = 0
  /** @type {ReturnType<MillraceMonitor['build']> | undefined} */
  #parts

  connectedCallback() {
    const { signal } = (this.#running = new AbortController())
    const parts = (this.#parts = this.build())
    this.show(parts.all)
    this.#sight = new IntersectionObserver(seen => {
      for (const { target, isIntersecting } of seen) this.#cards.get(/** @type {HTMLElement} */ (target).dataset.id ?? '')?.near(isIntersecting)
    }, { rootMargin: MARGIN })
    const board = (this.#board = new Board(this.client))
    board.addEventListener('change', event => this.#changed(/** @type {CustomEvent<string | null>} */ (event).detail), { signal })
    board.addEventListener('ended', event => this.#herald.end(/** @type {CustomEvent<Job>} */ (event).detail), { signal })
    board.addEventListener('line', event => { parts.line.hidden = /** @type {CustomEvent<boolean>} */ (event).detail }, { signal })
    board.addEventListener('problem', event => this.#refuse(/** @type {CustomEvent<Error & {suggestion?: string}>} */ (event).detail), { signal })
    const timer = setInterval(() => { if (!document.hidden) this.#cards.forEach(card => card.tick()) }, TICK_MS)
    signal.addEventListener('abort', () => clearInterval(timer))
    board.start()
    this.#drawMode()
  }

  disconnectedCallback() {
    this.#running?.abort()
    this.#board?.stop()
    this.#sight?.disconnect()
    this.#owner = undefined
    for (const card of this.#cards.values()) card.details?.close()
    this.#selection = undefined
    for (const known of [this.#cards, this.#dirty, this.#herald]) known.clear()
  }

  attributeChangedCallback() {
    this.#drawMode()
  }

  /** How many entries its maps hold: they are bounded, whatever happens. */
  get held() {
    return Math.max(this.#board?.jobs.size ?? 0, this.#board?.files.size ?? 0, this.#cards.size, this.#dirty.size, this.#selection?.size ?? 0, this.#herald.size)
  }

  build() {
    const search = h('input', { type: 'search', placeholder: 'Search name, file, id', 'aria-label': 'Search jobs', oninput: () => {
      clearTimeout(this.#searching)
      this.#searching = setTimeout(() => this.#filter(), SEARCH_MS)
    } })
    const state = h('select', { 'aria-label': 'Which jobs', onchange: () => this.#filter() },
      [['', 'All jobs'], ...GROUPS, ['rejects', 'With rejects']].map(([value, label]) => h('option', { value }, label)))
    const processor = h('select', { 'aria-label': 'Of which processor', onchange: () => this.#filter() }, h('option', { value: '' }, 'All processors'))
    const mode = h('button', { type: 'button', class: 'quiet', onclick: () => this.setAttribute('mode', this.isCompact ? 'full' : 'compact') })
    const bell = h('button', { type: 'button', class: 'quiet', hidden: !isPossible(), 'aria-pressed': String(isOn()), onclick: async () => {
      bell.setAttribute('aria-pressed', String(await turn(!isOn())))
      this.announce(isOn() ? 'You will be notified when jobs end.' : 'Notifications are off.')
    } }, 'Notify me')
    const every = h('input', { type: 'checkbox', 'aria-label': 'Select all that are shown', onchange: () => this.#chooseAll(every.checked) })
    const line = h('p', { class: 'line', role: 'status', hidden: true }, 'No connection. Trying again …')
    const note = h('p', { class: 'problem', role: 'alert', hidden: true })
    const empty = h('p', { class: 'empty' }, 'Looking …')
    const groups = GROUPS.map(([name, title]) => {
      const count = h('span', { class: 'count' })
      const list = h('ul', { class: 'list', role: 'list' })
      const section = h('section', { class: 'group', 'data-group': name, hidden: true }, h('h2', {}, title, ' ', count), list)
      return { name, section, count, list }
    })
    const older = h('button', { type: 'button', hidden: true, onclick: () => this.#older() }, 'Show older jobs')
    const bar = h('div', { class: 'toolbar', role: 'group', 'aria-label': 'Which jobs are shown' },
      this.isReadOnly ? '' : h('label', { class: 'every' }, every), search, state, processor, h('span', { class: 'switches' }, mode, bell))
    const all = h('div', { class: 'monitor' }, bar, line, note, empty, groups.map(group => group.section), h('p', { class: 'older' }, older))
    return { all, search, state, processor, mode, bell, every, line, note, empty, groups, older }
  }

  get isCompact() {
    return this.getAttribute('mode') === 'compact'
  }

  #drawMode() {
    const parts = this.#parts
    if (!parts) return
    parts.all.classList.toggle('compact', this.isCompact)
    say(parts.mode, this.isCompact ? 'Full view' : 'Compact view')
    if (this.#owner) this.#owner.isCompact = this.isCompact
    for (const card of this.#cards.values()) {
      card.element.style.minHeight = '' // as it was in the other view
      card.draw()
    }
  }

  /** @param {string | null} id */
  #changed(id) {
    const job = id ? this.#board?.jobs.get(id) : undefined
    if (id && job) {
      this.#herald.hear(job)
      const card = this.#cards.get(id)
      this.#dirty.add(id)
      if (!card || groupOf(card.job) !== groupOf(job) || card.job.priority !== job.priority || standing(card.job) !== standing(job)) this.#isReordered = true
    } else this.#isReordered = true
    this.#soon()
  }

  /** Many changes in a moment are drawn once. */
  #soon() {
    if (this.#isDue) return
    this.#isDue = true
    requestAnimationFrame(() => {
      this.#isDue = false
      if (this.#board && this.#running && !this.#running.signal.aborted) this.#draw(this.#board)
    })
  }

  /** @param {Board} board */
  #draw(board) {
    if (this.#isReordered) this.#order(board)
    else for (const id of this.#dirty) this.#drawCard(board, id)
    this.#dirty.clear()
  }

  /** @param {Board} board @param {string} id */
  #drawCard(board, id) {
    const job = board.jobs.get(id)
    if (job) this.#cards.get(id)?.update(job, (job.upload_id && board.files.get(job.upload_id)) || '')
  }

  /** @param {Board} board */
  #order(board) {
    const parts = this.#parts
    if (!parts) return
    this.#isReordered = false
    const focused = /** @type {HTMLElement | null} */ (this.root.activeElement)
    const shown = [...board.jobs.values()].filter(job => this.#isWanted(board, job)).sort(before)
    for (const id of [...this.#cards.keys()]) if (!board.jobs.has(id)) this.#drop(id)
    for (const group of parts.groups) {
      const inside = shown.filter(job => groupOf(job) === group.name)
      group.section.hidden = inside.length === 0
      say(group.count, number(inside.length))
      arrange(group.list, inside.map(job => this.#card(board, job).element))
    }
    for (const id of this.#cards.keys()) this.#drawCard(board, id)
    // a card that changed its group was out of the page for a moment
    if (focused?.isConnected && focused !== this.root.activeElement) focused.focus({ preventScroll: true })
    this.#drawProcessors(board)
    parts.empty.hidden = shown.length > 0
    if (board.isLoaded) say(parts.empty, board.jobs.size ? 'No job is like this.' : 'No jobs yet. They appear here as soon as a file is imported.')
    parts.older.hidden = !board.older
    this.#drawChosen()
  }

  /** @param {Board} board @param {Job} job */
  #card(board, job) {
    const known = this.#cards.get(job.id)
    if (known) return known
    const card = new Card(this.#owner ??= this.#own(board), job)
    this.#cards.set(job.id, card)
    this.#sight?.observe(card.element)
    return card
  }

  /** What all cards are on. @param {Board} board @returns {import('./card.js').Owner} */
  #own(board) {
    return {
      millrace: this.client, isReadOnly: this.isReadOnly, isCompact: this.isCompact, took: job => board.took(job), forget: id => board.forget(id),
      announce: text => this.announce(text), opened: (id, isOpen) => board.pin(id, isOpen),
      ...(this.isReadOnly ? {} : { chosen: (/** @type {string} */ id, /** @type {boolean} */ isChosen) => { this.#choose(board, id, isChosen) } }),
    }
  }

  /** @param {string} id */
  #drop(id) {
    const card = this.#cards.get(id)
    if (!card) return
    card.details?.close()
    this.#sight?.unobserve(card.element)
    this.#selection?.forget(id)
    for (const known of [this.#cards, this.#herald]) known.delete(id)
  }

  /** @param {Board} board @param {Job} job */
  #isWanted(board, job) {
    const parts = this.#parts
    if (!parts) return false
    const { search, state, processor } = parts
    if (processor.value && job.processor !== processor.value) return false
    if (state.value === 'rejects' ? job.counts.rejected === 0 : state.value && groupOf(job) !== state.value) return false
    const text = search.value.trim().toLowerCase()
    return !text || [nameOf(job), job.processor, job.id, told(job), (job.upload_id && board.files.get(job.upload_id)) || ''].some(word => word.toLowerCase().includes(text))
  }

  #filter() {
    this.#isReordered = true
    this.#soon()
  }

  /** @param {Board} board */
  #drawProcessors(board) {
    const select = this.#parts?.processor
    if (!select) return
    const names = [...new Set([...board.jobs.values()].map(job => job.processor))].sort()
    const there = new Set([...select.options].map(option => option.value))
    select.append(...names.filter(name => !there.has(name)).map(name => h('option', { value: name }, name)))
    select.hidden = select.options.length < 3
  }

  /** @param {boolean} isChosen */
  #chooseAll(isChosen) {
    for (const card of this.#cards.values()) if (!isChosen || card.element.isConnected) card.choose(isChosen)
  }

  /** @param {Board} board @param {string} id @param {boolean} isChosen */
  async #choose(board, id, isChosen) {
    const { Selection } = await import('./selection.js')
    if (board !== this.#board || !this.isConnected) return
    if (!this.#selection) {
      this.#selection = new Selection(board, this, { clear: () => this.#chooseAll(false), told: problem => this.#refuse(problem) })
      this.#parts?.note.after(this.#selection.element)
    }
    this.#selection.choose(id, isChosen)
    this.#drawChosen()
  }

  #drawChosen() {
    const parts = this.#parts
    const count = this.#selection?.draw() ?? 0
    if (!parts) return
    parts.every.indeterminate = count > 0 && count < this.#cards.size
    parts.every.checked = count > 0
  }

  async #older() {
    const parts = this.#parts
    if (!parts) return
    parts.older.disabled = true
    await this.#board?.more().catch(problem => this.#refuse(problem))
    parts.older.disabled = false
  }

  /** @param {(Error & {suggestion?: string}) | null} problem */
  #refuse(problem) {
    const parts = this.#parts
    if (!parts) return
    parts.note.hidden = !problem
    if (problem) say(parts.note, `${problem.message} ${problem.suggestion ?? ''}`)
    if (problem && !this.#board?.isLoaded) parts.empty.hidden = true
  }
}

if (!customElements.get('millrace-monitor')) customElements.define('millrace-monitor', MillraceMonitor)
