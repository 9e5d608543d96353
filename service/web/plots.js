/** Plots as SVG: bars over time, bars by class, and bars that lie. Each has a title, a description and its numbers as a table. */

import { h, newId, s } from './dom.js'
import { table } from './shapes.js'

/**
 * @typedef {{label: string, values: number[], told?: string}} Bar several values are stacked; `told` is the label in full
 * @typedef {{name: string, kind: string}} Series `kind`: k1, k2, k3
 */

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [440, 180, 44, 22, 8]

/**
 * Bars that stand, one beside the other.
 * @param {{title: string, description: string, bars: Bar[], series: Series[], format: (value: number) => string, unit: string, head?: string}} plot
 */
export function bars({ title, description, bars: given, series, format, unit, head = 'When' }) {
  const highest = Math.max(...given.map(bar => bar.values.reduce((sum, value) => sum + value, 0)), 0)
  const ticks = ticksUpTo(highest)
  const top = ticks.at(-1) || 1
  const step = (WIDTH - LEFT) / Math.max(1, given.length)
  const wide = Math.max(1, Math.min(34, step * 0.72))
  const y = (/** @type {number} */ value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP)
  const every = Math.ceil(given.length / 6)
  const [titled, told] = [newId('plot'), newId('plot')]
  const picture = s('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-labelledby': `${titled} ${told}` },
    s('title', { id: titled }, title), s('desc', { id: told }, description),
    ticks.map(tick => s('g', {}, s('line', { class: 'axis', x1: LEFT, x2: WIDTH, y1: y(tick), y2: y(tick) }), s('text', { x: LEFT - 8, y: y(tick) + 3.5, 'text-anchor': 'end' }, format(tick)))),
    given.map((bar, index) => {
      const middle = LEFT + step * (index + 0.5)
      let below = 0
      const parts = bar.values.map((value, which) => {
        below += value
        return value > 0 && s('rect', { class: series[which]?.kind, x: middle - wide / 2, width: wide, y: y(below), height: Math.max(1, y(below - value) - y(below)), rx: Math.min(2, wide / 3) })
      })
      const words = `${bar.told ?? bar.label}: ${series.map((one, which) => `${format(bar.values[which] ?? 0)} ${series.length > 1 ? one.name : unit}`).join(', ')}`
      return s('g', {}, parts, index % every === 0 && s('text', { class: index % (2 * every) ? 'sparse' : undefined, x: middle, y: HEIGHT - 6, 'text-anchor': 'middle' }, bar.label),
        s('rect', { class: 'hit', x: middle - step / 2, width: step, y: TOP, height: HEIGHT - BOTTOM - TOP }, s('title', {}, words)))
    }))
  return figure(title, picture, series, [head, ...series.map(one => (series.length > 1 ? one.name : unit))], given.map(bar => [bar.told ?? bar.label, ...bar.values.map(format)]))
}

/**
 * Bars that lie, the longest first.
 * @param {{title: string, description: string, bars: {label: string, value: number}[], format: (value: number) => string, unit: string, kind?: string, head: string}} plot
 */
export function lying({ title, description, bars: given, format, unit, kind = 'k1', head }) {
  const most = Math.max(...given.map(bar => bar.value), 1)
  const [line, widest] = [42, WIDTH - 48] // what a bar's number needs is beside it
  const height = Math.max(1, given.length) * line
  const [titled, told] = [newId('plot'), newId('plot')]
  const picture = s('svg', { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-labelledby': `${titled} ${told}` },
    s('title', { id: titled }, title), s('desc', { id: told }, description),
    given.map((bar, index) => s('g', {}, s('text', { class: 'name', x: 0, y: index * line + 14 }, bar.label),
      s('rect', { class: kind, x: 0, y: index * line + 20, height: 12, width: Math.max(2, (widest * bar.value) / most), rx: 3 }),
      s('text', { x: (widest * bar.value) / most + 8, y: index * line + 30 }, format(bar.value)))))
  return figure(title, picture, [], [head, unit], given.map(bar => [bar.label, format(bar.value)]))
}

/**
 * @param {string} title
 * @param {SVGElement} picture
 * @param {Series[]} series
 * @param {string[]} head
 * @param {string[][]} rows
 */
function figure(title, picture, series, head, rows) {
  const legend = series.length > 1 && h('ul', { class: 'legend' }, series.map(one => h('li', {}, s('svg', { viewBox: '0 0 10 10', 'aria-hidden': 'true' }, s('rect', { class: one.kind, width: 10, height: 10, rx: 3 })), one.name)))
  return h('figure', { class: 'card plot' }, h('figcaption', {}, h('h2', {}, title), legend), picture,
    h('details', {}, h('summary', {}, 'Numbers'), table(title, head.map((cell, index) => h('th', { scope: 'col', class: index ? 'end' : undefined }, cell)),
      rows.map(([first, ...others]) => h('tr', {}, h('th', { scope: 'row' }, first), others.map(cell => h('td', { class: 'end' }, cell)))))))
}

/**
 * Round whole numbers from 0 to above the highest.
 * @param {number} highest
 */
function ticksUpTo(highest) {
  if (highest <= 0) return [0, 1]
  const raw = Math.max(1, highest / 4)
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map(each => each * power).find(each => each >= raw && Number.isInteger(each)) ?? 10 * power
  return Array.from({ length: Math.ceil(highest / step) + 1 }, (_, index) => index * step)
}
