/** A question in a small dialog. */

import { h, newId } from './dom.js'

/**
 * @typedef {{value: string, label: string, kind?: 'primary' | 'danger'}} Choice
 */

/**
 * Ask, and resolve to the chosen value; to '' when the dialog was left without a choice. The focus goes to the way out
 * at first, and back to where it was in the end.
 * @param {string} title
 * @param {string} text
 * @param {Choice[]} choices
 * @param {string} [stay] what leaving without a choice is called
 * @returns {Promise<string>}
 */
export function ask(title, text, choices, stay = 'Keep it') {
  const [titled, told] = [newId('ask'), newId('ask')]
  return new Promise(resolve => {
    const dialog = h('dialog', { class: 'card ask', 'aria-labelledby': titled, 'aria-describedby': told },
      h('h2', { id: titled }, title),
      h('p', { id: told }, text),
      h('div', { class: 'actions' },
        h('button', { type: 'button', autofocus: true, onclick: () => dialog.close('') }, stay),
        choices.map(choice => h('button', { type: 'button', class: choice.kind, onclick: () => dialog.close(choice.value) }, choice.label))))
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(dialog.returnValue)
    })
    document.body.append(dialog)
    dialog.showModal()
  })
}
