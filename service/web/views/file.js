/** One uploaded file: what it is, who read it, what to do with it. */

import { get, send } from '../api.js'
import { ask } from '../ask.js'
import { h, icon } from '../dom.js'
import { moment, shortId, size } from '../format.js'
import { button, empty, notice, page } from '../parts.js'
import { facts, pill, problemBox, table } from '../shapes.js'
import { standing } from './files.js'

const UNFINISHED = new Set(['receiving', 'abandoned'])

/** @type {import('../app.js').Open} */
export async function open({ path: [id = ''], signal }) {
  const upload = await get(`/v1/uploads/${id}`, {}, { signal })
  const twins = upload.sha256 ? (await get('/v1/uploads', { sha256: upload.sha256, limit: 50 }, { signal })).uploads.filter((/** @type {any} */ each) => each.id !== id) : []
  const isThere = !upload.expired_at && !UNFINISHED.has(upload.state)
  const actions = [
    isThere && h('a', { class: 'button', href: upload.links.content, download: upload.name ?? '' }, icon('download'), 'Download'),
    isThere && upload.jobs.length > 0 && button('Re-process', () => again(id), { sign: 'again', acts: true }),
    isThere && h('a', { class: 'button', href: `#/new?upload=${id}` }, icon('plus'), 'New job'),
    !upload.expired_at && button('Delete', () => remove(upload), { sign: 'delete', kind: 'danger', acts: true }),
  ]
  return page(upload.name || 'File without a name', { back: ['Files', '#/files'], lead: standing(upload), actions },
    upload.problem && problemBox(upload.problem),
    h('div', { class: 'card' }, facts([
      ['Size', size(upload.size_bytes)],
      upload.size_bytes !== upload.received_bytes && ['Received', size(upload.received_bytes)],
      ['Kind, by its first bytes', upload.kind ?? '–'],
      ['Media type', upload.media_type ?? '–'],
      ['Came', moment(upload.created_at)],
      upload.expires_at && !upload.expired_at && ['Kept until', moment(upload.expires_at)],
      upload.expired_at && ['File gone since', moment(upload.expired_at)],
      ['Sent by', { raw: 'one request', tus: 'tus', form: 'a form' }[/** @type {string} */ (upload.protocol)] ?? upload.protocol],
      upload.sha256 && ['SHA-256', h('code', {}, upload.sha256), 'wide'],
      upload.duplicate_of && ['Copy of', h('a', { href: `#/files/${upload.duplicate_of}` }, 'an earlier upload')],
    ])),
    h('section', {}, h('h2', {}, 'Jobs that read it'), upload.jobs.length
      ? table('Jobs that read it', ['Job', 'Processor', 'State'], upload.jobs.map((/** @type {any} */ job) => h('tr', {}, h('th', { scope: 'row' }, h('a', { href: `#/jobs/${job.id}` }, shortId(job.id))), h('td', {}, job.processor), h('td', {}, pill(job.state)))), 'plain')
      : empty('monitor', 'No job has read it yet')),
    twins.length > 0 && h('section', {}, h('h2', {}, 'The same content'), table('Uploads of the same content', ['File', 'Came', 'State'], twins.map((/** @type {any} */ twin) =>
      h('tr', {}, h('th', { scope: 'row' }, h('a', { href: `#/files/${twin.id}` }, twin.name || 'no name')), h('td', { class: 'muted' }, moment(twin.created_at)), h('td', {}, standing(twin)))), 'plain')))
}

/** @param {string} id */
async function again(id) {
  const job = await send('POST', `/v1/uploads/${id}/process`)
  notice('A job over this file is queued.')
  location.hash = `#/jobs/${job.id}`
}

/** @param {any} upload */
async function remove(upload) {
  const answer = await ask(`Delete ${upload.name || 'this file'}?`, 'The file goes, and its key with it. Rows that were read from it stay.', [{ value: 'yes', label: 'Delete it', kind: 'danger' }])
  if (answer !== 'yes') return
  await send('DELETE', `/v1/uploads/${upload.id}`)
  notice('The file is deleted.')
  location.hash = '#/files'
}
