/** The jobs of a monitor that are chosen, and what can be done to all of them at once. */

import { ACTIONS, PRIORITIES, PRIORITY } from './actions.js'
import { h } from './dom.js'
import { number, plural } from './format.js'
import { standing } from './standing.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./actions.js').Action} Action
 */

export class Selection {
  element = h('div', { class: 'many', role: 'group', 'aria-label': 'Actions on the selection', hidden: true })
  #board
  #host
  #how
  /** @type {Set<string>} */
  #chosen = new Set()
  #drawn = ''

  /**
   * @param {import('./board.js').Board} board
   * @param {import('./element.js').MillraceElement} host
   * @param {{clear: () => void, told: (problem: Error | null) => void}} how
   */
  constructor(board, host, how) {
    this.#board = board
    this.#host = host
    this.#how = how
  }

  get size() {
    return this.#chosen.size
  }

  /** @param {string} id @param {boolean} isChosen */
  choose(id, isChosen) {
    if (isChosen) this.#chosen.add(id)
    else this.#chosen.delete(id)
    this.#board.pin(id, isChosen)
  }

  /** It is there no more. @param {string} id */
  forget(id) {
    this.#chosen.delete(id)
  }

  /** Offer what fits, and say how many are chosen. */
  draw() {
    const jobs = this.#jobs()
    const told = String(jobs.map(job => job.id + standing(job)))
    if (told === this.#drawn) return jobs.length
    this.#drawn = told
    this.element.hidden = jobs.length === 0
    const fitting = ACTIONS.filter(action => jobs.some(action.fits))
    const priority = h('select', { 'aria-label': 'Priority of the selection', onchange: () => this.#do(PRIORITY, priority.value) },
      h('option', { value: '' }, 'Priority …'), PRIORITIES.map(({ value, label }) => h('option', { value }, label)))
    this.element.replaceChildren(h('strong', {}, `${number(jobs.length)} selected`),
      ...fitting.map(action => h('button', { type: 'button', onclick: () => this.#press(action) }, action.label)),
      ...(jobs.some(PRIORITY.fits) ? [priority] : []),
      h('button', { type: 'button', class: 'quiet', onclick: this.#how.clear }, 'Clear'))
    return jobs.length
  }

  /** @returns {Job[]} */
  #jobs() {
    return [...this.#chosen].flatMap(id => this.#board.jobs.get(id) ?? [])
  }

  /** @param {Action} action */
  async #press(action) {
    const question = action.question?.(this.#jobs().filter(action.fits))
    const chosen = question ? await (await import('./ask.js')).ask(this.#host.root, question.title, question.text, question.choices) : 'yes'
    if (chosen) await this.#do(action, chosen)
  }

  /** @param {Action} action @param {string} chosen */
  async #do(action, chosen) {
    const ids = this.#jobs().filter(action.fits).map(job => job.id)
    if (!ids.length || !chosen) return
    this.#how.told(null)
    try {
      const { results } = await action.many(this.#host.client, ids, chosen)
      const refused = results.filter(result => !result.ok)
      for (const { id, ok } of results) {
        if (action.label === 'Delete' && ok) this.#board.forget(id)
        else this.#board.look(id)
      }
      this.#host.announce(`${action.label}: ${plural(results.length - refused.length, 'job')} done${refused.length ? `, ${number(refused.length)} refused` : ''}.`)
      if (refused[0]) this.#how.told(new Error(`${plural(refused.length, 'job')} of ${number(results.length)} refused it: ${refused[0].detail}`))
    } catch (problem) {
      this.#how.told(problem instanceof Error ? problem : new Error(String(problem)))
    }
  }
}
