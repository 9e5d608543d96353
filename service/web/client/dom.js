/** Builds elements. Text goes in as text nodes only, so nothing a file or a name holds can become markup. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element: `h('button', {type: 'button', onclick}, 'Save')`.
 * Properties are set as properties; `class`, `for`, `role`, `scope`, `data-*` and `aria-*` as attributes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (/^(class|for|role|scope)$|^(data|aria)-/.test(name)) element.setAttribute(name, String(value))
    else /** @type {any} */ (element)[name] = value
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false)
    .map(child => (child instanceof Node ? child : String(child))))
  return element
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
 * Put `elements` into `parent` in this order, moving only those that are out of place.
 * @param {Element} parent
 * @param {Element[]} elements
 */
export function arrange(parent, elements) {
  const wanted = new Set(elements)
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove()
  let there = parent.firstElementChild
  for (const element of elements) {
    if (element === there) {
      there = there.nextElementSibling
      continue
    }
    // moveBefore keeps focus and scroll position, where the browser has it
    if (element.isConnected && 'moveBefore' in parent) /** @type {any} */ (parent).moveBefore(element, there)
    else parent.insertBefore(element, there)
  }
}
