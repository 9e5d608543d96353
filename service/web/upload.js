/** `<millrace-upload>`: one file on its way, from its name to the id of its job. */

import { key, problemOf, Problem } from './api.js'
import { announce, h, say, show } from './dom.js'
import { DATASET_PATTERN, datasetName, duration, size } from './format.js'
import { live } from './live.js'

/** @typedef {import('./api.js').Processor} Processor */

const AT_ONCE = 2

/** @type {(() => void)[]} those who wait for their turn */
const waiting = []
let going = 0

export class MillraceUpload extends HTMLElement {
  /** @type {XMLHttpRequest | undefined} */
  #sending

  /**
   * Get ready to import a file; `start` sends it.
   * @param {File} file
   * @param {Processor[]} processors
   */
  prepare(file, processors) {
    this.file = file
    this.className = 'upload'
    const suffix = /\.[^.]*$/.exec(file.name.toLowerCase())?.[0] ?? ''
    const chosen = processors.find(p => p.suffixes.includes(suffix))?.name ?? 'csv'
    const id = `upload-${crypto.getRandomValues(new Uint32Array(1))[0]}`
    this.name = h('input', {
      id, type: 'text', value: datasetName(file.name), required: true, pattern: DATASET_PATTERN, maxLength: 48, autocomplete: 'off',
      autocapitalize: 'none', spellcheck: false, title: 'Lower-case letters, digits and underscores, starting with a letter',
    })
    this.processor = h('select', { id: `${id}-as` }, processors.map(p => h('option', { value: p.name, selected: p.name === chosen }, p.title)))
    this.body = h('div', { class: 'upload-body' })
    this.append(h('p', { class: 'upload-file' }, h('strong', {}, file.name), h('span', { class: 'muted' }, ` ${size(file.size)}`)), this.body)
    this.#ask(id)
    return this
  }

  /** Whether it waits for a person to start it. */
  get isReady() {
    return this.dataset.state === 'ready'
  }

  /** Whether leaving the page would lose something. */
  get isSending() {
    return this.dataset.state === 'sending'
  }

  /** Send it, when its turn comes. Does nothing if the name will not do. */
  async start() {
    if (!this.isReady && this.dataset.state !== 'failed') return
    if (!this.name.reportValidity()) return
    this.#set('sending')
    this.#watch()
    await turn(() => this.#isGone ? undefined : this.#send())
  }

  #isGone = false

  /** @param {string} id */
  #ask(id) {
    this.#set('ready')
    const form = h('form', { class: 'upload-form', onsubmit: event => { event.preventDefault(); this.start() } },
      h('div', { class: 'field' }, h('label', { for: id }, 'Dataset'), this.name),
      h('div', { class: 'field' }, h('label', { for: `${id}-as` }, 'Read as'), this.processor),
      h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'primary' }, 'Import'), this.#dismissal('Remove')),
    )
    show(this.body, form)
  }

  #watch() {
    this.bar = h('progress', { max: 1, value: 0, 'aria-label': `Upload of ${this.file.name}` })
    this.status = h('p', { class: 'muted' }, 'Waiting for its turn …')
    show(this.body, this.bar, h('div', { class: 'spread' }, this.status, this.#dismissal('Cancel')))
  }

  async #send() {
    try {
      const job = await this.#post()
      live.add(job, this.file.name)
      this.#set('done')
      show(this.body, h('div', { class: 'spread' },
        h('p', {}, '✓ ', h('strong', {}, this.file.name), ' was received. Job ', h('a', { href: `#job-${job.id}` }, h('code', {}, job.id)), ` fills ${job.dataset}.`), this.#dismissal('Dismiss')))
      announce(`${this.file.name} was received; its job is ${job.state}.`)
    } catch (problem) {
      if (this.#isGone) return
      this.#set('failed')
      show(this.body,
        h('p', { class: 'problem', role: 'alert' }, h('strong', {}, problem.message), ` ${problem.suggestion ?? ''}`),
        h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => this.#ask(this.name.id) }, 'Try again'), this.#dismissal('Remove')))
    }
  }

  /** POST the file. Only XMLHttpRequest tells how much of a body is out. */
  #post() {
    const query = new URLSearchParams({ processor: this.processor.value, dataset: this.name.value, name: this.file.name })
    const began = performance.now()
    return new Promise((resolve, reject) => {
      const sending = (this.#sending = new XMLHttpRequest())
      sending.open('POST', `/v1/imports?${query}`)
      sending.setRequestHeader('Authorization', `Bearer ${key.get()}`)
      sending.upload.onprogress = ({ loaded, total }) => this.#sent(loaded, total, (performance.now() - began) / 1000)
      sending.onload = () => sending.status === 202 ? resolve(JSON.parse(sending.responseText)) : reject(problemOf(sending.status, sending.responseText))
      sending.onerror = () => reject(new Problem(0, 'The upload broke off; nothing was imported.', 'Check the connection, and that the file is still there unchanged.'))
      sending.onabort = () => reject(new Problem(0, 'Cancelled.'))
      sending.send(this.file)
    })
  }

  /**
   * @param {number} sent
   * @param {number} total
   * @param {number} seconds
   */
  #sent(sent, total, seconds) {
    this.bar.value = total ? sent / total : 1
    if (sent === total) return say(this.status, `${size(total)} sent; waiting until it is safely stored …`)
    const left = seconds > 1 ? ` · ${duration((seconds * (total - sent)) / sent)} left` : ''
    say(this.status, `${size(sent)} of ${size(total)} · ${size(sent / seconds)}/s${left}`)
  }

  /** @param {string} label */
  #dismissal(label) {
    return h('button', { type: 'button', class: 'quiet', 'aria-label': `${label} ${this.file.name}`, onclick: () => {
      this.#isGone = true
      this.#sending?.abort()
      this.remove()
    } }, label)
  }

  /** @param {'ready' | 'sending' | 'done' | 'failed'} state */
  #set(state) {
    this.dataset.state = state
    this.dispatchEvent(new Event('state', { bubbles: true }))
  }
}

/**
 * Run `work` when fewer than AT_ONCE others run.
 * @param {() => Promise<void> | undefined} work
 */
async function turn(work) {
  if (going >= AT_ONCE) await new Promise(resolve => waiting.push(() => resolve(undefined)))
  going += 1
  try {
    await work()
  } finally {
    going -= 1
    waiting.shift()?.()
  }
}

customElements.define('millrace-upload', MillraceUpload)
