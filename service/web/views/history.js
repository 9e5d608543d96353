/** What a watch history adds up to, as the job `enrich_videos` tells it: figures, hours, weekdays, channels, kinds. */

import { h } from '../dom.js'
import { compact, duration, moment, number, percent, plural } from '../format.js'
import { bars, lying } from '../plots.js'
import { figures } from '../shapes.js'

/** @type {Record<string, string>} */
const TITLED = { video: 'Videos', short: 'Shorts', music: 'Music', ad: 'Advertisements', removed: 'Removed or private', post: 'Posts', story: 'Stories', search: 'Searches', other: 'Other' }
const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']

/**
 * @typedef {{
 *   watched: number, videos: number, unavailable: number, not_looked_up: number, shorts_share: number | null,
 *   duration_s: number, with_duration: number, first_at: string | null, last_at: string | null, time_zone: string,
 *   kinds: Record<string, number>, by_hour: number[], by_weekday: Record<string, number>,
 *   top_channels: {channel: string, watched: number}[],
 * }} History the job's output
 */

/**
 * @param {History} told
 * @returns {HTMLElement}
 */
export function historyOf(told) {
  const { watched, videos, kinds, time_zone: zone } = told
  const one = [{ name: 'watched', kind: 'k1' }]
  const channels = told.top_channels.map(each => ({ label: each.channel || 'without a name', value: each.watched }))
  const sorts = Object.entries(kinds).map(([kind, value]) => ({ label: TITLED[kind] ?? kind, value })).sort((a, b) => b.value - a.value)
  return h('section', { class: 'stack loose' }, h('h2', {}, 'What the history adds up to'),
    figures([
      ['Watched', number(watched), told.first_at && told.last_at ? `${moment(told.first_at)} to ${moment(told.last_at)}` : 'times', ''],
      ['Different videos', number(videos), [told.unavailable && `${number(told.unavailable)} not there any more`, told.not_looked_up && `${number(told.not_looked_up)} not looked up`].filter(Boolean).join(', ') || 'all still there', ''],
      ['Shorts', told.shorts_share === null ? '–' : percent(told.shorts_share), `${number(kinds.short ?? 0)} of ${number(watched)}`, ''],
      ['Length', told.with_duration ? duration(told.duration_s) : '–', told.with_duration ? `of ${plural(told.with_duration, 'watched video')}, each in full` : 'not known', ''],
    ]),
    h('div', { class: 'plots' },
      bars({ title: 'By hour of the day', description: `${number(watched)} watched, by the clock of ${zone}.`, unit: 'watched', head: `Hour (${zone})`, format: compact, series: one, bars: told.by_hour.map((value, hour) => ({ label: String(hour), told: `${hour}:00 to ${hour}:59`, values: [value] })) }),
      bars({ title: 'By day of the week', description: `${number(watched)} watched, by the clock of ${zone}.`, unit: 'watched', head: `Day (${zone})`, format: compact, series: one, bars: WEEKDAYS.map(day => ({ label: titled(day.slice(0, 3)), told: titled(day), values: [told.by_weekday[day] ?? 0] })) }),
      channels.length > 0 && lying({ title: 'Channels watched most', description: `${plural(channels.length, 'channel')}, the most watched first.`, unit: 'watched', head: 'Channel', format: number, bars: channels }),
      sorts.length > 0 && lying({ title: 'What it was', description: `${plural(sorts.length, 'kind')} of entries, the most frequent first.`, unit: 'entries', head: 'Kind', format: number, bars: sorts })))
}

/** @param {string} word */
const titled = word => word.charAt(0).toUpperCase() + word.slice(1)
