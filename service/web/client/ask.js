/** A question in a small dialog. */

import { h } from './dom.js'

/**
 * Ask, and resolve to the chosen value; to '' when the dialog was left without a choice. The first choice is the safe
 * one and has the focus.
 * @param {ParentNode & Node} place where the dialog goes, so that it has the styles of what is there
 * @param {string} title
 * @param {string} text
 * @param {{value: string, label: string}[]} choices
 * @returns {Promise<string>}
 */
export function ask(place, title, text, choices) {
  return new Promise(resolve => {
    const buttons = choices.map(({ value, label }, index) =>
      h('button', { type: 'button', autofocus: index === 0, onclick: () => dialog.close(value) }, label))
    const dialog = h('dialog', { class: 'ask', 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-text' },
      h('h2', { id: 'ask-title' }, title), h('p', { id: 'ask-text', class: 'muted' }, text), h('div', { class: 'buttons' }, buttons))
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(dialog.returnValue)
    })
    place.append(dialog)
    dialog.showModal()
  })
}
