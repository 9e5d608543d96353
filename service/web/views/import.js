/** Import: files are dropped, looked into, mapped, and sent. Each file has a plan of its own, loaded with the first. */

import { get, mayAct } from '../api.js'
import { announce, h, icon } from '../dom.js'
import { plural } from '../format.js'
import { button, empty, page, VIEWER } from '../parts.js'

/** @typedef {import('./plan.js').Plan} Plan */

/** Kept while somebody looks elsewhere on this page. @type {Plan[]} */
const plans = []

/** @type {import('../app.js').Open} */
export async function open({ signal }) {
  if (!mayAct()) return page('Import', {}, empty('import', 'You see everything here, and change nothing', VIEWER, 'Files are sent with a key whose role is operator.'))
  const [{ processors }, { datasets }] = await Promise.all([get('/v1/processors', {}, { signal }), get('/v1/datasets', { limit: 1000 }, { signal })])
  const list = h('div', { class: 'stack', role: 'list' })
  const all = button('Import all', () => ready().forEach(plan => plan.go()), { kind: 'primary', sign: 'import' })
  const clear = button('Clear those that are done', () => { plans.filter(plan => plan.state === 'sent').forEach(drop) }, { kind: 'quiet' })
  const bar = h('div', { class: 'actions' }, all, clear)
  const ready = () => plans.filter(plan => plan.state === 'ready')

  /** @param {File[]} files */
  async function add(files) {
    const { Plan } = await import('./plan.js')
    for (const file of files) {
      const plan = new Plan(file, processors, datasets)
      plans.unshift(plan)
      list.prepend(hung(plan))
    }
    if (files.length) announce(`${plural(files.length, 'file')} added`)
    draw()
  }

  /** @param {Plan} plan */
  function hung(plan) {
    plan.onchange = draw
    plan.onremove = () => drop(plan)
    return plan.element
  }

  /** @param {Plan} plan */
  function drop(plan) {
    plans.splice(plans.indexOf(plan), 1)
    plan.element.remove()
    draw()
  }

  function draw() {
    all.hidden = ready().length < 2
    all.lastChild.textContent = `Import all ${ready().length}`
    clear.hidden = !plans.some(plan => plan.state === 'sent')
    bar.hidden = all.hidden && clear.hidden
  }

  for (const plan of plans) list.append(hung(plan))
  draw()
  return page('Import', { lead: 'Drop files to see what would become of them. Nothing is stored before you say so.', actions: [bar] }, zone(add, processors, signal), list)
}

/**
 * @param {(files: File[]) => void} add the lists that browsers hand out are empty a moment later
 * @param {any[]} processors
 * @param {AbortSignal} signal
 */
function zone(add, processors, signal) {
  const input = h('input', { type: 'file', id: 'files', class: 'unseen', multiple: true, onchange: () => { add([...input.files]); input.value = '' } })
  const label = h('label', { class: 'zone', for: 'files' }, icon('import'), h('strong', {}, 'Drop files here, or choose them'),
    h('span', { class: 'muted' }, [...new Set(processors.flatMap(each => each.suffixes))].join(' ')))
  const isFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files')
  addEventListener('dragover', event => { if (isFiles(event)) { event.preventDefault(); label.classList.add('lit') } }, { signal })
  addEventListener('dragleave', event => { if (!event.relatedTarget) label.classList.remove('lit') }, { signal })
  addEventListener('drop', event => {
    if (!isFiles(event)) return
    event.preventDefault()
    label.classList.remove('lit')
    add([...(event.dataTransfer?.files ?? [])])
  }, { signal })
  return h('div', {}, input, label)
}
