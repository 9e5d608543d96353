/** Steps and the edges between them as a picture: columns by how far a step is from the beginning. */

import { s } from './dom.js'

const [WIDTH, HEIGHT, ACROSS, DOWN] = [168, 58, 64, 18]

/**
 * @param {{key: string, job_id: string, processor: string, state: string, required: boolean, progress: any}[]} steps
 * @param {{from: string, to: string}[]} edges
 * @param {string} label
 */
export function graph(steps, edges, label) {
  const { places, chains, columns, lines } = placed(steps, edges)
  const [width, height] = [columns * (WIDTH + ACROSS) - ACROSS + 4, lines * (HEIGHT + DOWN) - DOWN + 4]
  /** @type {(key: string) => [number, number]} */
  const at = key => {
    const [x, y] = places.get(key) ?? [0, 0]
    return [x * (WIDTH + ACROSS) + 2, y * (HEIGHT + DOWN) + 2]
  }
  const states = new Map(steps.map(step => [step.key, step.state]))
  return s('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': label },
    chains.map(chain => edge(chain.map(at), states.get(chain[0] ?? '') === 'completed')), steps.map(step => node(step, at(step.key))))
}

/**
 * Column and line of each step. An edge over several columns has a place of its own in those between, so that it passes
 * behind no step. Lines follow those a step comes from, so that edges cross seldom.
 * @param {{key: string}[]} steps each behind those that it needs
 * @param {{from: string, to: string}[]} edges
 */
function placed(steps, edges) {
  /** @type {Map<string, number>} */
  const column = new Map()
  for (const { key } of steps) column.set(key, Math.max(0, ...edges.filter(edge => edge.to === key).map(edge => (column.get(edge.from) ?? 0) + 1)))
  const chains = edges.map(({ from, to }) => {
    const [first, last] = [column.get(from) ?? 0, column.get(to) ?? 0]
    return [from, ...Array.from({ length: Math.max(0, last - first - 1) }, (_, index) => `${from} > ${to} > ${first + 1 + index}`), to]
  })
  /** @type {Map<string, string[]>} */
  const before = new Map()
  for (const chain of chains) {
    chain.slice(1).forEach((key, index) => {
      const from = chain[index] ?? ''
      before.set(key, [...(before.get(key) ?? []), from])
      if (!column.has(key)) column.set(key, (column.get(from) ?? 0) + 1)
    })
  }
  /** @type {Map<string, [number, number]>} */
  const places = new Map()
  const columns = Math.max(...column.values()) + 1
  let lines = 1
  for (let x = 0; x < columns; x += 1) {
    const keys = [...column].filter(([, each]) => each === x).map(([key]) => key)
    const middle = (/** @type {string} */ key) => {
      const from = before.get(key) ?? []
      return from.reduce((sum, each) => sum + (places.get(each)?.[1] ?? 0), 0) / (from.length || 1)
    }
    const order = new Map(keys.map(key => [key, middle(key)]))
    keys.sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0)).forEach((key, line) => places.set(key, [x, line]))
    lines = Math.max(lines, keys.length)
  }
  return { places, chains, columns, lines }
}

/**
 * @param {[number, number][]} places of the step it leaves, of what it passes, and of the step it comes to
 * @param {boolean} isDone
 */
function edge(places, isDone) {
  let [path, fromX, fromY] = ['', 0, 0]
  places.forEach(([x, y], index) => {
    const toY = y + HEIGHT / 2
    const bend = (x - fromX) / 2
    path += index ? `C${fromX + bend} ${fromY} ${x - bend} ${toY} ${x} ${toY}H${index < places.length - 1 ? x + WIDTH : x}` : `M${x + WIDTH} ${toY}`
    fromX = x + WIDTH
    fromY = toY
  })
  return s('path', { class: isDone ? 'edge done' : 'edge', d: path })
}

/**
 * @param {any} step
 * @param {number[]} place
 */
function node(step, [x, y]) {
  const percent = step.state === 'completed' ? 100 : step.progress?.percent ?? 0
  const state = step.state === 'running' && step.progress?.percent !== null ? `running · ${Math.floor(percent)} %` : step.state
  return s('a', { href: `#/jobs/${step.job_id}`, 'aria-label': `${step.key} ${step.processor} · ${state}` },
    s('g', { class: 'node', 'data-state': step.state, transform: `translate(${x} ${y})` },
      s('title', {}, `${step.key}: ${step.processor}${step.required ? '' : ', not required'}`),
      s('rect', { class: 'box', width: WIDTH, height: HEIGHT, rx: 9, 'stroke-dasharray': step.required ? undefined : '4 3' }),
      step.state === 'running' && s('rect', { class: 'fillbar', x: 2, y: HEIGHT - 7, width: ((WIDTH - 4) * percent) / 100, height: 5, rx: 2.5 }),
      s('circle', { cx: 17, cy: 23, r: 4.5 }), s('text', { x: 30, y: 27 }, clipped(step.key)), ' ', s('text', { class: 'sub', x: 30, y: 44 }, `${clipped(step.processor, 12)} · ${state}`)))
}

/** @param {string} text */
const clipped = (text, most = 17) => (text.length > most ? `${text.slice(0, most - 1)}…` : text)
