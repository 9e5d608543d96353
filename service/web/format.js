/** Numbers, sizes, times and names as words; what the browser client says too, it says alike. */

import { number } from './client/format.js'

export { duration, moment, number, plural } from './client/format.js'

const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** @param {number} value 12.3K */
export const compact = value => (Math.abs(value) < 10_000 ? number(value) : short.format(value))

/** @param {number | null | undefined} share 0.9913 as 99.1 %; never 100 % or 0 % unless it is */
export function percent(share) {
  if (share === null || share === undefined) return '–'
  const rounded = Math.round(share * 1000) / 10
  if (rounded === 100 && share < 1) return '> 99.9 %'
  if (rounded === 0 && share > 0) return '< 0.1 %'
  return `${Number.isInteger(rounded) ? rounded : rounded.toFixed(1)} %`
}

/**
 * 52.2 MB
 * @param {number | null} bytes
 */
export function size(bytes) {
  if (bytes === null) return '–'
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  while (bytes >= 999.95 && unit < units.length - 1) {
    bytes /= 1000
    unit += 1
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`
}

/** @param {string} id the part of a job's id that people tell apart; the beginning is the time */
export const shortId = id => id.slice(-8)

/**
 * Any value of a row or an option on one line.
 * @param {unknown} value
 */
export function plain(value) {
  if (value === null || value === undefined) return ''
  if (typeof value !== 'object') return String(value).replaceAll(/\r?\n/g, ' ↵ ')
  const json = /** @type {any} */ (JSON)
  return json.isRawJSON?.(value) ? /** @type {any} */ (value).rawJSON : JSON.stringify(value)
}

/**
 * A name for the dataset of a file, as the `millrace` command would choose it: `2024 Käufe.csv` → `data_2024_kaufe`.
 * @param {string} fileName
 */
export function datasetName(fileName) {
  const stem = fileName.replace(/(?<=.)\.[^.]*$/, '')
  const words = stem.normalize('NFKD').replace(/[^\x00-\x7f]/g, '').toLowerCase().replace(/[^a-z0-9]+/g, '_').replace(/^_+|_+$/g, '')
  return (/^[a-z]/.test(words) ? words : `data_${words}`).slice(0, 48).replace(/_+$/, '')
}

/** What the service accepts as a dataset's name. */
export const DATASET_PATTERN = '[a-z][a-z0-9_]{0,47}'
