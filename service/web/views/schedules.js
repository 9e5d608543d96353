/** Schedules: jobs that come again and again. */

import { get, mayAct, send } from '../api.js'
import { ask } from '../ask.js'
import { fill } from '../coming.js'
import { h, newId, show } from '../dom.js'
import { jobForm } from '../form.js'
import { moment } from '../format.js'
import { button, empty, notice, page } from '../parts.js'
import { facts, field, pill, problemBox, select } from '../shapes.js'

/** @type {[string, string][]} */
const USUAL = [['0 * * * *', 'each hour'], ['30 2 * * *', 'each night at 2:30'], ['0 8 * * MON-FRI', 'weekdays at 8:00'], ['0 6 * * MON', 'Mondays at 6:00'], ['0 0 1 * *', 'on the first of each month']]

/** @type {import('../app.js').Open} */
export async function open({ query, signal }) {
  const body = h('div', { class: 'stack' })
  const slot = h('div', { hidden: true })
  const opener = button('New schedule', async () => {
    slot.hidden = !slot.hidden
    opener.setAttribute('aria-expanded', String(!slot.hidden))
    if (!slot.hidden) {
      await fill(slot, form(query.get('upload'), load, () => opener.click(), signal))
      slot.querySelector('input')?.focus()
    }
  }, { sign: 'plus', kind: 'primary', acts: true })
  opener.setAttribute('aria-expanded', 'false')

  async function load() {
    const { schedules } = await get('/v1/schedules', { limit: 200 }, { signal })
    show(body, schedules.length ? schedules.map((/** @type {any} */ each) => card(each, load)) : empty('schedules', 'No schedules yet', 'A schedule brings a job at moments that you name, such as each night.'))
  }

  await load()
  return page('Schedules', { lead: 'Jobs that come again and again, by the clock of a place.', actions: [opener] }, slot, body)
}

/**
 * @param {any} schedule
 * @param {() => Promise<void>} changed
 */
function card(schedule, changed) {
  const path = `/v1/schedules/${schedule.id}`
  const change = async (/** @type {unknown} */ body) => { await send('PATCH', path, body); await changed() }
  const next = h('details', {}, h('summary', {}, 'Next runs'), h('ol', { class: 'said' }))
  next.addEventListener('toggle', () => next.open && fill(next.querySelector('ol'), nextRuns(path)))
  const over = schedule.job.dataset ? ` → ${schedule.job.dataset}` : ''
  return h('article', { class: 'card stack' },
    h('div', { class: 'row spread' },
      h('div', { class: 'row' }, h('h2', { class: 'wrap' }, schedule.name), schedule.paused ? pill('paused') : pill('good', 'on')),
      h('div', { class: 'actions' },
        button('Run now', () => run(path), { sign: 'play', acts: true }),
        schedule.paused ? button('Resume', () => change({ paused: false }), { sign: 'again', acts: true }) : button('Pause', () => change({ paused: true }), { sign: 'pause', acts: true }),
        button('', () => remove(schedule, changed), { sign: 'delete', kind: 'quiet', acts: true, label: `Delete ${schedule.name}` }))),
    schedule.last_problem && problemBox(schedule.last_problem),
    facts([
      ['When', [h('code', {}, schedule.cron), ` ${schedule.time_zone}`]],
      ['Job', `${schedule.job.processor}${over}`],
      ['Next run', schedule.paused ? 'paused' : moment(schedule.next_run_at)],
      ['Last run', schedule.last_job_id ? h('a', { href: `#/jobs/${schedule.last_job_id}` }, moment(schedule.last_run_at)) : '–'],
      ['Missed slots', { skip: 'are skipped', run_once: 'run once', run_all: 'run each' }[/** @type {string} */ (schedule.missed)]],
      schedule.overlap === 'skip' && ['While one runs', 'no other begins'],
    ]), next)
}

/** @param {string} path */
async function nextRuns(path) {
  const { next_runs: runs } = await get(path)
  return runs.map((/** @type {any} */ each) => h('li', {}, `${each.local.slice(0, 16).replace('T', ' ')} there, ${moment(each.at)} here`))
}

/** @param {string} path */
async function run(path) {
  const job = await send('POST', `${path}/run`)
  notice('Its job is queued.')
  location.hash = `#/jobs/${job.id}`
}

/**
 * @param {any} schedule
 * @param {() => Promise<void>} changed
 */
async function remove(schedule, changed) {
  const answer = await ask(`Delete ${schedule.name}?`, 'It brings no more jobs. Those it has brought stay.', [{ value: 'yes', label: 'Delete it', kind: 'danger' }])
  if (answer !== 'yes') return
  await send('DELETE', `/v1/schedules/${schedule.id}`)
  await changed()
}

/**
 * @param {string | null} upload
 * @param {() => Promise<void>} made
 * @param {() => void} close
 * @param {AbortSignal} signal
 */
async function form(upload, made, close, signal) {
  const job = await jobForm({ upload, signal })
  const name = h('input', { required: true, maxLength: 200, autocomplete: 'off' })
  const cron = h('input', { required: true, value: '30 2 * * *', spellcheck: false, class: 'mono', autocomplete: 'off' })
  const usual = select([['', 'Choose a usual one …'], ...USUAL], '', chosen => { if (chosen) cron.value = chosen })
  const zones = h('datalist', { id: newId('zones') }, Intl.supportedValuesOf('timeZone').map(zone => h('option', { value: zone })))
  const zone = h('input', { required: true, value: Intl.DateTimeFormat().resolvedOptions().timeZone, list: zones.id, spellcheck: false })
  const missed = select([['run_once', 'run once'], ['skip', 'skip them'], ['run_all', 'run each of them']], 'run_once')
  const overlap = select([['allow', 'begin another'], ['skip', 'leave this slot out']], 'allow')
  const trouble = h('div')
  const save = async () => {
    if (!element.reportValidity()) return
    show(trouble)
    try {
      await send('POST', '/v1/schedules', { name: name.value, cron: cron.value, time_zone: zone.value, missed: missed.value, overlap: overlap.value, job: job.body() })
      notice(`${name.value} is scheduled.`)
      close()
      await made()
    } catch (problem) {
      show(trouble, problemBox(/** @type {Error} */ (problem)))
    }
  }
  const element = h('form', { class: 'card stack', 'aria-label': 'New schedule', onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    h('div', { class: 'fields' }, field('Name', name), field('When', cron, 'minute hour day month weekday'), field('Or', usual), field('Time zone', zone), field('Slots that were missed', missed), field('While its last job runs', overlap)),
    zones, h('h3', {}, 'Its job'), job.element, trouble,
    h('div', { class: 'actions' }, button('Schedule it', save, { kind: 'primary', acts: true, disabled: !mayAct() }), button('Cancel', close, { kind: 'quiet' })))
  return element
}
