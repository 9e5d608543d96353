/** One job as a card: filled when it is near what people see, a line of text while it is far. */

import { ACTIONS, PRIORITIES, PRIORITY } from './actions.js'
import { h, say } from './dom.js'
import { hasEnded } from './ends.js'
import { duration, left, moment, number } from './format.js'
import { Problem } from './http.js'
import { nameOf, standing, told } from './standing.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./actions.js').Action} Action
 * @typedef {object} Owner what a card is on
 * @property {import('./millrace.js').Millrace} millrace
 * @property {(job: Job) => void} took
 * @property {(id: string) => void} forget
 * @property {(id: string, isOpen: boolean) => void} [opened]
 * @property {(id: string, isChosen: boolean) => void} [chosen]
 * @property {boolean} isReadOnly
 * @property {boolean} [isCompact]
 * @property {(text: string) => void} announce
 */

const UNNAMED = 'unnamed' // what the service calls a file that came without a name
const FIGURES = /** @type {const} */ (['Rows', 'Rejected', 'Rate', 'Phase', 'Time', 'Left'])

export class Card {
  /** @type {Job} */
  job
  file = ''
  isChosen = false
  #owner
  #isFilled = false
  #isBusy = false
  /** @type {ReturnType<Card['build']> | undefined} */
  #parts
  /** @type {import('./details.js').Details | undefined} */
  details

  /** @param {Owner} owner @param {Job} job @param {keyof HTMLElementTagNameMap} [tag] */
  constructor(owner, job, tag = 'li') {
    this.#owner = owner
    this.job = job
    this.plain = h('span', { class: 'plain' })
    this.element = h(tag, { class: 'job', tabIndex: -1 }, this.plain)
    this.element.dataset.id = job.id
    this.#label()
  }

  /** @param {Job} job @param {string} file the name of its file */
  update(job, file) {
    if (this.job === job && this.file === file) return
    if (standing(job) !== standing(this.job)) this.#complain('')
    this.job = job
    this.file = file
    this.draw()
  }

  /** It comes near, or goes far; then what holds the focus, is open or is chosen stays as it is. @param {boolean} isNear */
  near(isNear) {
    if (isNear) {
      if (this.#isFilled) return
      this.#isFilled = true
      this.#parts ??= this.build()
      this.element.replaceChildren(...this.#parts.all)
      this.element.style.minHeight = ''
      this.draw()
    } else if (this.#isFilled && this.#parts?.panel.hidden && !this.element.matches(':focus-within')) {
      this.element.style.minHeight = `${this.element.offsetHeight}px` // so that nothing jumps
      this.#isFilled = false
      this.#parts = undefined
      this.element.replaceChildren(this.plain)
      this.#label()
    }
  }

  build() {
    const id = this.job.id
    const name = h('span', { class: 'name' })
    const file = h('span', { class: 'file' })
    const pill = h('span', { class: 'pill' })
    const brief = h('span', { class: 'brief' })
    const bar = h('progress', { max: 100 })
    const figures = Object.fromEntries(FIGURES.map(title => [title, h('dd')]))
    const problem = h('p', { class: 'problem', hidden: true })
    const note = h('p', { class: 'problem', role: 'alert', hidden: true })
    const panel = h('div', { class: 'panel', id: `panel-${id}`, hidden: true })
    const disclosure = h('button', {
      type: 'button', class: 'disclosure', 'aria-expanded': 'false', 'aria-controls': `panel-${id}`, onclick: () => this.toggle(),
    }, name, file)
    const choice = h('input', { type: 'checkbox', class: 'choice', checked: this.isChosen, onchange: () => this.choose(choice.checked) })
    const actions = this.#owner.isReadOnly ? [] : ACTIONS
    const buttons = actions.map(action => ({ action, button: h('button', { type: 'button', class: 'quiet', onclick: () => this.#press(action) }, action.label) }))
    const priority = h('select', { id: `priority-${id}`, onchange: () => this.#do(PRIORITY, priority.value) }, PRIORITIES.map(({ value, label }) => h('option', { value }, label)))
    const urgency = h('div', { class: 'urgency' }, h('label', { for: `priority-${id}` }, 'Priority'), priority)
    const rare = buttons.filter(({ action }) => action.isRare).map(({ button }) => button)
    const menu = h('div', { class: 'menu' }, urgency, rare)
    const more = h('details', { class: 'more' }, h('summary', { class: 'quiet' }, 'More'), menu)
    more.addEventListener('keydown', event => {
      if (event.key !== 'Escape' || !more.open) return
      more.open = false
      more.querySelector('summary')?.focus()
    })
    more.addEventListener('focusout', event => { if (!more.contains(/** @type {Node | null} */ (event.relatedTarget))) more.open = false })
    const controls = h('div', { class: 'controls', role: 'group' }, buttons.filter(({ action }) => !action.isRare).map(({ button }) => button), actions.length ? more : '')
    const list = h('dl', { class: 'figures' }, FIGURES.map(title => h('div', { 'data-figure': title }, h('dt', {}, title), figures[title])))
    const all = [
      h('div', { class: 'head' }, this.#owner.chosen ? choice : '', h(this.element.localName === 'li' ? 'h3' : 'h2', { class: 'title' }, disclosure), brief, pill, controls),
      bar, list, problem, note, panel,
    ]
    return { all, name, file, pill, brief, bar, figures, problem, note, panel, disclosure, choice, buttons, priority, urgency, menu, more, controls }
  }

  draw() {
    const { job } = this
    const parts = this.#parts
    this.element.dataset.state = job.state
    this.element.classList.toggle('ended', hasEnded(job))
    this.element.classList.toggle('begun', job.started_at !== null)
    if (!this.#isFilled || !parts) return this.#label()
    const { progress, counts } = job
    const isOver = hasEnded(job)
    const known = nameOf(job)
    say(parts.name, known)
    say(parts.file, this.about())
    say(parts.pill, told(job))
    parts.pill.dataset.state = job.undone_at ? 'undone' : job.state === 'completed' && job.outcome === 'partial' ? 'partial' : standing(job)
    parts.bar.hidden = isOver
    parts.bar.setAttribute('aria-label', `Progress of ${known}`)
    if (progress.percent === null && job.state !== 'paused') parts.bar.removeAttribute('value')
    else parts.bar.value = progress.percent ?? 0
    /** @type {Record<string, string>} */
    const said = {
      Rows: number(counts.inserted + counts.updated), Rejected: number(counts.rejected),
      Rate: progress.rate && job.state !== 'paused' ? `${number(progress.rate)}/s` : '',
      Phase: isOver ? '' : standing(job) === job.state ? progress.phase : standing(job),
      Time: elapsed(job),
      Left: !isOver && progress.eta_s ? left(progress.eta_s) : '',
    }
    const reads = job.dataset !== null
    for (const [title, element] of Object.entries(parts.figures)) {
      say(element, said[title] || '–')
      const isIdle = (isOver && !said[title]) || (!reads && title !== 'Phase' && title !== 'Time')
      if (element.parentElement) element.parentElement.hidden = isIdle
    }
    parts.figures.Rejected?.classList.toggle('bad', counts.rejected > 0)
    const percent = isOver || progress.percent === null ? '' : `${Math.floor(progress.percent)} %`
    say(parts.brief, !job.started_at ? '' : [percent, reads ? `${said.Rows} rows` : '', said.Left && `${said.Left} left`].filter(Boolean).join(' · '))
    this.#drawProblem(parts)
    this.#drawControls(parts)
    this.details?.update(job)
  }

  /** A second has passed. */
  tick() {
    if (this.#isFilled && this.#parts?.figures.Time && !hasEnded(this.job)) say(this.#parts.figures.Time, elapsed(this.job) || '–')
  }

  /** @param {boolean} isChosen */
  choose(isChosen) {
    this.isChosen = isChosen
    if (this.#parts) this.#parts.choice.checked = isChosen
    this.#owner.chosen?.(this.job.id, isChosen)
  }

  async toggle() {
    const parts = this.#parts
    if (!parts) return
    const isOpen = Boolean(parts.panel.hidden)
    parts.panel.hidden = !isOpen
    parts.disclosure.setAttribute('aria-expanded', String(isOpen))
    this.#owner.opened?.(this.job.id, isOpen)
    this.details?.close()
    this.details = undefined
    parts.panel.replaceChildren()
    if (!isOpen) return
    const { Details } = await import('./details.js')
    if (parts.panel.hidden || this.details) return // closed again meanwhile
    this.details = new Details(this.#owner.millrace, this.job, this.element)
    parts.panel.append(this.details.element)
  }

  /** The file, and when the job ended. */
  about() {
    const name = this.file && this.file !== UNNAMED ? this.file : this.job.dataset ? this.job.processor : ''
    return [name, hasEnded(this.job) && this.job.finished_at ? moment(this.job.finished_at) : ''].filter(Boolean).join(' · ')
  }

  #label() {
    say(this.plain, `${nameOf(this.job)} ${told(this.job)}`)
  }

  /** @param {ReturnType<Card['build']>} parts */
  #drawProblem({ problem }) {
    const trouble = this.job.problem
    problem.hidden = !trouble || this.job.state === 'completed'
    if (trouble) problem.replaceChildren(h('strong', {}, trouble.message), trouble.suggestion ? ` ${trouble.suggestion}` : '')
  }

  /** @param {ReturnType<Card['build']>} parts */
  #drawControls(parts) {
    const { buttons, controls, choice, priority, urgency, more } = parts
    const { job } = this
    const root = /** @type {ShadowRoot | Document} */ (this.element.getRootNode())
    const focused = root.activeElement // looked up now: browsers forget an element that is hidden
    const known = nameOf(job)
    controls.setAttribute('aria-label', `Actions on ${known}`)
    choice.setAttribute('aria-label', `Select ${known}`)
    more.querySelector('summary')?.setAttribute('aria-label', `More actions on ${known}`)
    for (const { action, button } of buttons) {
      button.hidden = !action.fits(job)
      button.setAttribute('aria-label', `${action.label} ${known}`)
      button.setAttribute('aria-disabled', String(this.#isBusy)) // a button that is really disabled drops the focus
    }
    urgency.hidden = !PRIORITY.fits(job)
    this.#settle(parts)
    more.hidden = urgency.hidden && buttons.every(({ button }) => button.hidden || button.parentElement === controls)
    if (root.activeElement !== priority) priority.value = String(job.priority)
    if (buttons.some(({ button }) => button === focused && button.hidden)) {
      (buttons.find(({ button }) => !button.hidden && button.parentElement === controls)?.button ?? this.element).focus()
    }
  }

  /** In a compact list everything is behind "More". @param {ReturnType<Card['build']>} parts */
  #settle({ buttons, controls, menu, more }) {
    const isCompact = Boolean(this.#owner.isCompact)
    for (const { action, button } of buttons) {
      if (action.isRare || isCompact === (button.parentElement === menu)) continue
      if (isCompact) menu.append(button)
      else controls.insertBefore(button, more)
    }
  }

  /** @param {Action} action */
  async #press(action) {
    if (this.#isBusy) return
    const question = action.question?.([this.job])
    const chosen = question ? await (await import('./ask.js')).ask(this.element, question.title, question.text, question.choices) : 'yes'
    if (chosen) await this.#do(action, chosen)
  }

  /** @param {Action} action @param {string} chosen */
  async #do(action, chosen) {
    const { id } = this.job
    this.#isBusy = true
    this.#complain('')
    this.draw()
    try {
      const answer = await action.one(this.#owner.millrace, id, chosen)
      if (answer) this.#owner.took(answer)
      else this.#leave()
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem
      this.#complain(`${problem.message} ${problem.suggestion}`)
      if (problem.status === 404) this.#leave()
      if (problem.status === 409) this.#owner.millrace.jobs.get(id).then(job => this.#owner.took(job), () => {}) // it had moved on
    } finally {
      this.#isBusy = false
      if (this.#parts) this.#parts.more.open = false
      this.draw()
    }
  }

  #leave() {
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling
    this.#owner.forget(this.job.id)
    this.#owner.announce(`The job of ${nameOf(this.job)} is deleted.`)
    if (next instanceof HTMLElement) next.focus()
  }

  /** @param {string} text */
  #complain(text) {
    if (!this.#parts) return
    this.#parts.note.hidden = !text
    say(this.#parts.note, text)
  }
}

/** How long a job took or has been taking, from its first start. @param {Job} job */
function elapsed({ started_at, finished_at }) {
  if (!started_at) return ''
  return duration(((finished_at ? Date.parse(finished_at) : Date.now()) - Date.parse(started_at)) / 1000)
}
