/** Files: what was uploaded, what became of it, and what read it; one of them is in file.js. */

import { get, send } from '../api.js'
import { ask } from '../ask.js'
import { h, icon, say, show } from '../dom.js'
import { moment, plural, size } from '../format.js'
import { onJobs } from '../live.js'
import { button, empty, notice, page } from '../parts.js'
import { pill, select, table } from '../shapes.js'

const PAGE = 50
/** @type {[string, string][]} */
const STATES = [['', 'In any state'], ['receiving', 'Receiving'], ['uploaded', 'Uploaded'], ['processing', 'Processing'], ['completed', 'Completed'], ['failed', 'Failed'], ['abandoned', 'Abandoned']]

/** @type {import('../app.js').Open} */
export async function open(place) {
  if (place.path[0]) return (await import('./file.js')).open(place)
  return list(place)
}

/** @param {import('../app.js').Place} place */
async function list({ query, signal }) {
  const state = query.get('state') ?? ''
  /** @type {any[]} */
  let uploads = []
  /** @type {string | null} */
  let cursor = null
  /** @type {Set<string>} */
  const chosen = new Set()
  const body = h('div', { class: 'stack' })
  const told = h('p', { role: 'status' })
  const all = button('Re-process all of a kind …', () => allOf(uploads, reload), { sign: 'again', acts: true })
  const bar = h('div', { class: 'sticky', hidden: true }, told,
    button('Re-process', () => batch('process'), { sign: 'again', acts: true }), button('Delete', () => batch('delete'), { sign: 'delete', kind: 'danger', acts: true }))
  const more = button('Show older files', () => load(), { kind: 'quiet' })

  async function load() {
    const found = await get('/v1/uploads', { state, limit: PAGE, cursor }, { signal })
    uploads.push(...found.uploads)
    cursor = found.next_cursor
    draw()
  }

  async function reload() {
    const found = await get('/v1/uploads', { state, limit: Math.min(1000, Math.max(PAGE, uploads.length)) }, { signal })
    uploads = found.uploads
    cursor = found.next_cursor
    for (const id of chosen) if (!uploads.some(upload => upload.id === id)) chosen.delete(id)
    draw()
  }

  function draw() {
    more.hidden = !cursor
    all.hidden = !uploads.length
    choice()
    if (!uploads.length) return show(body, state ? empty('files', 'No file is in this state') : empty('files', 'No files yet', 'What is uploaded is listed here, with what became of it.', h('a', { class: 'button primary', href: '#/import' }, 'Import a file')))
    const every = h('input', { type: 'checkbox', checked: chosen.size === uploads.length, indeterminate: chosen.size > 0 && chosen.size < uploads.length, 'aria-label': 'All files shown', onchange: () => { for (const each of uploads) every.checked ? chosen.add(each.id) : chosen.delete(each.id); draw() } })
    show(body, table('Files', [h('th', { scope: 'col' }, every), 'File', h('th', { scope: 'col', class: 'end' }, 'Size'), 'State', 'Read by', 'SHA-256', 'Came'], uploads.map(row), 'plain'))
  }

  /** @param {any} upload */
  function row(upload) {
    const tick = h('input', { type: 'checkbox', checked: chosen.has(upload.id), 'aria-label': `Choose ${upload.name ?? upload.id}`, onchange: () => { tick.checked ? chosen.add(upload.id) : chosen.delete(upload.id); choice() } })
    return h('tr', {}, h('td', {}, tick),
      h('th', { scope: 'row', class: 'wrap' }, h('a', { href: `#/files/${upload.id}` }, upload.name || 'no name')),
      h('td', { class: 'end' }, size(upload.size_bytes)),
      h('td', {}, standing(upload)),
      h('td', {}, upload.jobs.length ? [...new Set(upload.jobs.map((/** @type {any} */ job) => job.processor))].join(', ') : h('span', { class: 'muted' }, '–')),
      h('td', {}, upload.sha256 ? h('code', { title: upload.sha256 }, upload.sha256.slice(0, 10)) : '–', upload.duplicate_of && h('span', { class: 'muted' }, ' copy')),
      h('td', { class: 'muted' }, moment(upload.created_at)))
  }

  function choice() {
    bar.hidden = chosen.size === 0
    say(told, `${plural(chosen.size, 'file')} chosen`)
  }

  /** @param {'process' | 'delete'} action */
  async function batch(action) {
    const many = plural(chosen.size, 'file')
    if (action === 'delete' && (await ask(`Delete ${many}?`, 'The files go, with their keys. Rows that were read from them stay.', [{ value: 'yes', label: 'Delete', kind: 'danger' }])) !== 'yes') return
    const { results } = await send('POST', '/v1/uploads/batch', { action, ids: [...chosen] })
    results.filter((/** @type {any} */ each) => each.ok).forEach((/** @type {any} */ each) => chosen.delete(each.id))
    tell(results, action)
    await reload()
  }

  await load()
  onJobs(signal, (_, isNews) => isNews && reload())
  const filter = select(STATES, state, wanted => { location.hash = `#/files${wanted ? `?state=${wanted}` : ''}` }, { 'aria-label': 'State' })
  return page('Files', { lead: 'Each upload with its history. A file is kept for a while after its last job; its entry stays.', actions: [filter, all] }, body, more, bar)
}

/**
 * How an upload stands, with why its file is gone.
 * @param {any} upload
 */
export function standing(upload) {
  const why = { retention: 'no longer kept', lost: 'lost', unfinished: 'never finished', refused: 'refused', joined: 'put together' }[/** @type {string} */ (upload.expired_reason)]
  return [pill(upload.state), upload.damaged_at && [' ', pill('bad', 'damaged')], upload.expired_at && h('span', { class: 'muted' }, ` ${why ?? 'deleted'}`)].flat()
}

/**
 * @param {any[]} results
 * @param {'process' | 'delete'} action
 */
function tell(results, action) {
  const bad = results.filter(each => !each.ok)
  const good = plural(results.length - bad.length, action === 'process' ? 'job' : 'file')
  notice(`${good} ${action === 'process' ? 'queued' : 'deleted'}.${bad.length ? ` ${bad.length} not: ${bad[0].detail}` : ''}`, bad.length ? 'bad' : 'good')
}

/**
 * Queue a job over every file of a kind that there is.
 * @param {any[]} uploads
 * @param {() => Promise<void>} done
 */
async function allOf(uploads, done) {
  const suffixes = [...new Set(uploads.map(upload => /\.[^./]{1,10}$/.exec(upload.name ?? '')?.[0].toLowerCase()).filter(Boolean))]
  const states = ['failed', 'completed', 'uploaded']
  const suffix = select([['', 'of every suffix'], .../** @type {[string, string][]} */ (suffixes.map(each => [each, each]))], '', undefined, { 'aria-label': 'Suffix' })
  const state = select([['', 'in every state'], .../** @type {[string, string][]} */ (states.map(each => [each, each]))], 'failed', undefined, { 'aria-label': 'State' })
  const dialog = h('dialog', { class: 'card ask', 'aria-label': 'Re-process all of a kind' }, h('h2', {}, 'Re-process all of a kind'),
    h('p', {}, 'Each of these files is read again, by a job like its last one; 1,000 at most.'),
    h('div', { class: 'row' }, suffix, state), h('p'),
    h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => dialog.close('') }, 'Leave it'), h('button', { type: 'button', class: 'primary', onclick: () => dialog.close('yes') }, icon('again'), 'Re-process')))
  document.body.append(dialog)
  dialog.showModal()
  await new Promise(resolve => dialog.addEventListener('close', resolve, { once: true }))
  dialog.remove()
  if (dialog.returnValue !== 'yes') return
  const filter = { ...(suffix.value && { suffix: suffix.value }), ...(state.value && { state: state.value }) }
  tell((await send('POST', '/v1/uploads/batch', { action: 'process', filter })).results, 'process')
  await done()
}
