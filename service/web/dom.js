/** Builds elements. Text goes in as text nodes only, so nothing a file or a name holds can become markup. */

/** @typedef {Node | string | number | null | undefined | false} Child */

const SVG = 'http://www.w3.org/2000/svg'
const AS_ATTRIBUTE = /^(class|for|role|colspan|rowspan|scope|list|form|method|href|min|max|step)$|^(data|aria)-/

/**
 * Make an element: `h('button', {type: 'button', onclick}, 'Save')`. Properties are set as properties; `class`, `for`,
 * `role`, `data-*`, `aria-*` and a few more as attributes. What is undefined, null or (an attribute) false is left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {any} an HTMLElement; `any`, for what a tag's element has hangs on the tag
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (!AS_ATTRIBUTE.test(name)) /** @type {any} */ (element)[name] = value
    else if (value !== false) element.setAttribute(name, String(value))
  }
  element.append(...nodes(children))
  return element
}

/**
 * The same for SVG; everything is an attribute.
 * @param {string} tag
 * @param {Record<string, string | number | undefined>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, String(value))
  element.append(...nodes(children))
  return element
}

/**
 * A sign of the set in icons.svg, for the eye only.
 * @param {string} name
 */
export const icon = name => s('svg', { class: 'icon', width: 16, height: 16, 'aria-hidden': 'true' }, s('use', { href: `/web/icons.svg#${name}` }))

/**
 * Replace what an element shows.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function show(element, ...children) {
  element.replaceChildren(...nodes(children))
}

/**
 * Set an element's text, leaving it alone if it already says so: selections and screen readers stay undisturbed.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/**
 * Tell people who listen instead of look.
 * @param {string} text
 */
export function announce(text) {
  const spoken = document.getElementById('spoken')
  if (spoken) spoken.textContent = text
}

let lastId = 0

/** @param {string} [word] an id that nothing else on the page has */
export const newId = (word = 'id') => `${word}-${(lastId += 1)}`

/** @param {(Child | Child[])[]} children */
function nodes(children) {
  return children.flat().filter(child => child !== null && child !== undefined && child !== false)
    .map(child => (child instanceof Node ? child : String(child)))
}
