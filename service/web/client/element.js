/** What both elements have in common: their styles, their client, and a voice. */

import { h, say } from './dom.js'
import { connect } from './millrace.js'

const sheet = new CSSStyleSheet()
await fetch(new URL('elements.css', import.meta.url)).then(answer => answer.text()).then(text => sheet.replace(text))

/** @type {Map<string, import('./millrace.js').Millrace>} one client for all elements of a page that want the same */
const clients = new Map()

export class MillraceElement extends HTMLElement {
  /** @type {import('./millrace.js').Millrace | undefined} */
  #client
  #spoken = h('p', { class: 'unseen', role: 'status' })

  constructor() {
    super()
    const root = this.attachShadow({ mode: 'open' })
    root.adoptedStyleSheets = [sheet]
    this.root = root
  }

  /** The client it uses; set it before the element is in the page, or let attributes tell. */
  get client() {
    if (!this.#client) {
      const [url, key] = [this.getAttribute('url') ?? undefined, this.getAttribute('key') ?? undefined]
      const name = `${url} ${key}`
      this.#client = clients.get(name) ?? connect({ url, key })
      clients.set(name, this.#client)
    }
    return this.#client
  }

  set client(client) {
    this.#client = client
    if (this.isConnected) {
      this.disconnectedCallback()
      this.connectedCallback()
    }
  }

  get isReadOnly() {
    return this.hasAttribute('readonly')
  }

  connectedCallback() {}
  disconnectedCallback() {}

  /** @param {...Node} content */
  show(...content) {
    this.root.replaceChildren(...content, this.#spoken)
  }

  /** Tell people who listen instead of look. @param {string} text */
  announce(text) {
    say(this.#spoken, text)
  }

  /** @param {string} type @param {unknown} detail */
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { bubbles: true, composed: true, detail }))
  }
}
