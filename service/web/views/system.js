/** System: what runs here, its limits, its processors, and who did what. */

import { get, millrace } from '../api.js'
import { h, icon, show } from '../dom.js'
import { moment, plural, shortId, size } from '../format.js'
import { button, empty, page } from '../parts.js'
import { described, facts, pill, problemBox, table } from '../shapes.js'

/** @type {import('../app.js').Open} */
export async function open({ signal }) {
  const [document, { processors }, limits, ready] = await Promise.all([
    get('/openapi.json', {}, { signal }), get('/v1/processors', {}, { signal }),
    millrace.request('/v1/uploads', { method: 'OPTIONS', signal }), get('/readyz', {}, { signal }).catch(() => ({ status: 'not ready' }))])
  const limit = (/** @type {string} */ name) => limits.headers.get(name) ?? ''
  const audit = h('div', { class: 'stack' })
  const shown = page('System', { lead: 'What runs here, what it takes, and who did what.' },
    h('div', { class: 'card' }, facts([
      ['Version', `Millrace ${document.info.version}`],
      ['Service', ready.status === 'ok' ? pill('good', 'ready') : pill('bad', ready.status)],
      ['Largest file', size(Number(limit('Tus-Max-Size')))],
      ['An unfinished upload is kept', `${Math.round(Number(/max-age=(\d+)/.exec(limit('Upload-Limit'))?.[1] ?? 0) / 3600)} hours`],
      ['Resumable uploads', `tus ${limit('Tus-Version')}, IETF draft`],
      ['Checksums', limit('Tus-Checksum-Algorithm').replaceAll(',', ', ')],
      ['API', h('a', { href: '/openapi.json' }, 'openapi.json')],
      ['Routes', String(Object.values(document.paths).reduce((sum, each) => sum + Object.keys(/** @type {any} */ (each)).length, 0))],
    ])),
    h('section', {}, h('h2', {}, 'Processors'), h('ul', { class: 'stack' }, processors.map(offer))),
    h('section', {}, h('h2', {}, 'Audit'), audit))
  await log(audit, signal).catch(problem => show(audit, problemBox(problem)))
  return shown
}

/**
 * What a processor takes.
 * @param {any} processor
 */
function offer({ name, title, suffixes, max_bytes: most, options }) {
  const takes = [suffixes.join(' '), most && `up to ${size(most)}`].filter(Boolean).join(' · ')
  return h('li', { class: 'card stack offer' },
    h('div', { class: 'row spread' }, h('h3', {}, name), h('a', { class: 'button quiet', href: `#/new?processor=${name}`, 'aria-label': `New job of ${name}` }, icon('plus'), 'New job')),
    h('p', {}, title), takes && h('p', { class: 'hint' }, takes), explained(Object.entries(options.properties ?? {})))
}

/** @param {[string, any][]} options */
function explained(options) {
  return options.length > 0 && h('details', {}, h('summary', {}, plural(options.length, 'option')), h('dl', { class: 'explained' }, options.map(([name, about]) => h('div', {}, h('dt', {}, h('code', {}, name)), h('dd', {}, described(about.description))))))
}

/**
 * @param {Element} element
 * @param {AbortSignal} signal
 */
async function log(element, signal) {
  /** @type {any[]} */
  let entries = []
  /** @type {string | null} */
  let cursor = null
  const more = button('Show older entries', () => load(), { kind: 'quiet' })
  async function load() {
    const told = await get('/v1/audit', { limit: 50, cursor }, { signal })
    entries = [...entries, ...told.entries]
    cursor = told.next_cursor
    more.hidden = !cursor
    show(element, entries.length ? [table('Audit', ['When', 'Key', 'Did', 'To', 'Outcome'], entries.map(entry)), more] : empty('check', 'Nothing was changed yet', 'Each action is listed here, with who did it.'))
  }
  await load()
}

/** @param {any} told */
function entry(told) {
  return h('tr', {}, h('td', { class: 'muted' }, moment(told.at)), h('td', {}, told.key?.name ?? h('span', { class: 'muted' }, 'the service')), h('th', { scope: 'row' }, told.action),
    h('td', {}, h('code', { title: told.targets.join('\n') }, told.targets.slice(0, 3).map(shortId).join(' '), told.targets.length > 3 && ` and ${told.targets.length - 3} more`)),
    h('td', {}, told.outcome === 'done' ? told.outcome : pill('bad', told.outcome)))
}
