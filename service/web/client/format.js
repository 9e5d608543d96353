/** Numbers and times as words. */

const whole = new Intl.NumberFormat('en')
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** @param {number} value */
export const number = value => whole.format(Math.round(value))

/** @param {number} count @param {string} noun */
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? '' : 's'}`

/**
 * 240 ms, 2.4 s, 3 min 5 s, 2 h 7 min, 3 d 4 h
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–'
  if (seconds > 0 && seconds < 0.9995) return `${Math.max(1, Math.round(seconds * 1000))} ms`
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  return s < 86_400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`
}

/**
 * The time of day if it was today, else the date too.
 * @param {string | null | undefined} iso
 */
export function moment(iso) {
  if (!iso) return '–'
  const at = new Date(iso)
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : calendar.format(at)
}

/** An interval in the coarsest words that are true: 20–40 s, 2–3 min. @param {{low: number, high: number}} eta */
export function left({ low, high }) {
  if (high < 2) return 'a moment'
  const [divisor, unit] = high < 90 ? [1, 's'] : high < 5400 ? [60, 'min'] : [3600, 'h']
  const [from, to] = [Math.floor(low / divisor), Math.ceil(high / divisor)]
  return `${from === to ? to : `${from}–${to}`} ${unit}`
}
