/** A question in a small dialog. */

import { h } from './dom.js'

/**
 * @typedef {{value: string, label: string, isSafe?: boolean}} Choice the safe one has the focus
 */

/**
 * Ask, and resolve to the chosen value; to '' when the dialog was left without a choice. The focus goes back to where
 * it was.
 * @param {string} title
 * @param {string} text
 * @param {Choice[]} choices
 * @returns {Promise<string>}
 */
export function ask(title, text, choices) {
  return new Promise(resolve => {
    const dialog = /** @type {HTMLDialogElement} */ (h('dialog', { class: 'card ask', 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-text' },
      h('h3', { id: 'ask-title' }, title),
      h('p', { id: 'ask-text', class: 'muted' }, text),
      h('div', { class: 'actions' }, choices.map(choice =>
        h('button', { type: 'button', autofocus: choice.isSafe ?? false, onclick: () => dialog.close(choice.value) }, choice.label))),
    ))
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(dialog.returnValue)
    })
    document.body.append(dialog)
    dialog.showModal()
  })
}
