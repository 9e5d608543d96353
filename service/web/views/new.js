/** A job made by hand: for processors that read no file, and for files that are here already. */

import { mayAct, send } from '../api.js'
import { h, show } from '../dom.js'
import { jobForm } from '../form.js'
import { button, notice, page, VIEWER } from '../parts.js'
import { field, problemBox } from '../shapes.js'

/** @type {import('../app.js').Open} */
export async function open({ query, signal }) {
  const job = await jobForm({ upload: query.get('upload'), processor: query.get('processor'), signal })
  const priority = h('input', { type: 'number', min: 1, max: 10, value: 5, required: true })
  const runAt = h('input', { type: 'datetime-local' })
  const key = h('input', { spellcheck: false, autocomplete: 'off' })
  const metadata = h('input', { spellcheck: false, placeholder: '{"team": "sales"}', class: 'mono' })
  const trouble = h('div')

  async function queue() {
    show(trouble)
    try {
      const made = await send('POST', '/v1/jobs', {
        ...job.body(), priority: Number(priority.value),
        ...(runAt.value && { run_at: new Date(runAt.value).toISOString() }),
        ...(key.value && { dedupe_key: key.value }),
        ...(metadata.value && { metadata: JSON.parse(metadata.value) }),
        again: true,
      })
      notice('The job is queued.')
      location.hash = `#/jobs/${made.id}`
    } catch (problem) {
      const isJson = problem instanceof SyntaxError
      show(trouble, problemBox(isJson ? { message: 'A field that has to be JSON is none.', suggestion: problem.message } : /** @type {Error} */ (problem)))
    }
  }

  const form = h('form', { class: 'card stack', onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    h('fieldset', {}, h('legend', { class: 'unseen' }, 'What it does'), job.element),
    h('details', {}, h('summary', {}, 'When, how urgent, and notes'), h('div', { class: 'fields' },
      field('Priority', priority, '1 to 10; 10 is most urgent'), field('Not before', runAt), field('Dedupe key', key, 'Joins a job that lives under this key'), field('Metadata, as JSON', metadata))),
    trouble, h('div', { class: 'actions' }, button('Run in the background', () => (form.reportValidity() ? queue() : undefined), { kind: 'primary', sign: 'play', acts: true })))
  return page('New job', { back: ['Monitor', '#/monitor'], lead: 'Export a dataset, take a job back, try the deployment, or read a file again that is here already.' },
    !mayAct() && h('p', { class: 'tip warn' }, VIEWER), form)
}
