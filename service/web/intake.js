/** `<millrace-intake>`: where files are dropped or chosen. */

import { h, say } from './dom.js'
import { plural } from './format.js'
import { MillraceUpload } from './upload.js'

/** @typedef {import('./api.js').Processor} Processor */

class MillraceIntake extends HTMLElement {
  /** @type {Processor[]} */
  #processors = []
  #drags = 0

  connectedCallback() {
    this.picker = h('input', { type: 'file', multiple: true, class: 'unseen', id: 'files', onchange: () => this.#chosen() })
    this.suffixes = h('span', { class: 'muted suffixes' })
    this.zone = h('label', { class: 'zone', for: 'files' },
      h('span', { class: 'zone-title' }, 'Drop files here'), h('span', { class: 'muted' }, 'or ', h('span', { class: 'linkish' }, 'choose them')), this.suffixes)
    this.list = h('div', { class: 'stack uploads' })
    this.all = h('button', { type: 'button', class: 'primary', hidden: true, onclick: () => this.#uploads().forEach(upload => upload.start()) })
    this.append(this.picker, this.zone, this.list, h('div', { class: 'actions' }, this.all))
    this.addEventListener('state', () => this.#count())
    new MutationObserver(() => this.#count()).observe(this.list, { childList: true })
    this.#takeDrops()
    addEventListener('beforeunload', event => { if (this.#uploads().some(upload => upload.isSending)) event.preventDefault() })
  }

  /** What files can be read as. @param {Processor[]} processors */
  set processors(processors) {
    this.#processors = processors
    say(this.suffixes, processors.flatMap(processor => processor.suffixes).join(' '))
  }

  /** Files may be dropped anywhere on the page: missing the zone must not make the browser leave for the file. */
  #takeDrops() {
    const isFiles = event => event.dataTransfer?.types.includes('Files')
    const lit = depth => { this.#drags = depth; this.zone.classList.toggle('lit', depth > 0) }
    addEventListener('dragenter', event => { if (isFiles(event)) lit(this.#drags + 1) })
    addEventListener('dragleave', event => { if (isFiles(event)) lit(Math.max(0, this.#drags - 1)) })
    addEventListener('dragover', event => { if (isFiles(event)) event.preventDefault() })
    addEventListener('drop', event => {
      if (!isFiles(event)) return
      event.preventDefault()
      lit(0)
      if (this.checkVisibility()) this.add([...event.dataTransfer.files])
    })
  }

  #chosen() {
    this.add([...this.picker.files])
    this.picker.value = '' // the same file may be chosen again
  }

  /** @param {File[]} files */
  add(files) {
    const uploads = files.map(file => new MillraceUpload().prepare(file, this.#processors))
    this.list.append(...uploads)
    uploads[0]?.name.focus()
    uploads[0]?.name.select()
  }

  #uploads() {
    return /** @type {MillraceUpload[]} */ ([...this.list.children])
  }

  #count() {
    const ready = this.#uploads().filter(upload => upload.isReady).length
    this.all.hidden = ready < 2
    this.all.textContent = `Import all ${plural(ready, 'file')}`
  }
}

customElements.define('millrace-intake', MillraceIntake)
