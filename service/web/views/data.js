/** Data: the datasets there are; one of them is in rows.js, two beside each other in compare.js. */

import { get, send } from '../api.js'
import { ask } from '../ask.js'
import { h, icon, show } from '../dom.js'
import { moment, number } from '../format.js'
import { onJobs } from '../live.js'
import { button, empty, notice, page } from '../parts.js'
import { pill, table } from '../shapes.js'

const PAGE = 200

/** @type {import('../app.js').Open} */
export async function open(place) {
  const [name, more] = place.path
  if (name && more === 'compare') return (await import('./compare.js')).open(place)
  if (name) return (await import('./rows.js')).open(place)
  return list(place)
}

/** @param {import('../app.js').Place} place */
async function list({ signal }) {
  /** @type {any[]} */
  let datasets = []
  /** @type {string | null} */
  let cursor = null
  /** @type {Map<string, any>} by dataset, the job that fills it */
  let filling = new Map()
  const body = h('div', { class: 'stack' })
  const more = button('Show more', () => load(), { kind: 'quiet' })

  async function load(isAgain = false) {
    const told = await get('/v1/datasets', { rows: 'count', limit: isAgain ? Math.min(1000, Math.max(PAGE, datasets.length)) : PAGE, cursor: isAgain ? null : cursor }, { signal })
    datasets = isAgain ? told.datasets : [...datasets, ...told.datasets]
    cursor = told.next_cursor
    draw()
  }

  function draw() {
    more.hidden = !cursor
    if (!datasets.length) return show(body, empty('data', 'No datasets yet', 'The first import makes one.', h('a', { class: 'button primary', href: '#/import' }, 'Import a file')))
    const rows = datasets.map(dataset => row(dataset, filling.get(dataset.name), () => load(true)))
    show(body, table('Datasets', ['Dataset', h('th', { scope: 'col', class: 'end' }, 'Rows'), 'Columns', 'Key', 'Made', h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'What to do'))], rows, 'plain'))
  }

  await load()
  onJobs(signal, (jobs, isNews) => {
    filling = new Map(jobs.filter(job => job.dataset && job.state === 'running').map(job => [job.dataset, job]))
    return isNews || datasets.some(dataset => !dataset.columns.length) ? load(true) : draw()
  })
  return page('Data', { lead: 'Tables that jobs fill. Rows can be read as soon as they are stored, also while a job runs.' }, body, more)
}

/**
 * @param {any} dataset
 * @param {any} job
 * @param {() => Promise<unknown>} changed
 */
function row(dataset, job, changed) {
  return h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: `#/data/${dataset.name}` }, dataset.name), job && [' ', pill('running', `filling · ${number(job.counts.inserted + job.counts.updated)} rows`)]),
    h('td', { class: 'end' }, dataset.rows_are === 'about' && h('span', { class: 'muted' }, 'about '), number(dataset.rows)),
    h('td', { class: 'cut' }, dataset.columns.length ? h('span', { title: dataset.columns.map((/** @type {any} */ c) => c.name).join(', ') }, h('b', {}, dataset.columns.length), h('span', { class: 'muted' }, ` ${dataset.columns.slice(0, 6).map((/** @type {any} */ c) => c.name).join(', ')}${dataset.columns.length > 6 ? ' …' : ''}`)) : h('span', { class: 'null' }, 'no rows yet')),
    h('td', {}, dataset.keys?.join(', ') ?? h('span', { class: 'muted' }, '–')),
    h('td', { class: 'muted' }, moment(dataset.created_at)),
    h('td', { class: 'end' }, h('div', { class: 'actions' },
      h('a', { class: 'button quiet', href: `/v1/datasets/${dataset.name}/export?format=csv`, download: '', 'aria-label': `Download ${dataset.name} as CSV` }, icon('download'), 'CSV'),
      button('', () => remove(dataset.name, changed), { sign: 'delete', kind: 'quiet', acts: true, label: `Delete ${dataset.name}` }))))
}

/**
 * Ask, and delete a dataset.
 * @param {string} name
 * @param {() => unknown} gone
 */
export async function remove(name, gone) {
  const answer = await ask(`Delete ${name}?`, 'All of its rows go. Its jobs stay as history, and cannot be undone any more.', [{ value: 'yes', label: 'Delete it', kind: 'danger' }])
  if (answer !== 'yes') return
  await send('DELETE', `/v1/datasets/${name}`)
  notice(`${name} is deleted.`)
  await gone()
}
