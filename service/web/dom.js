/** Builds elements. Text goes in as text nodes only, so nothing a file or a name holds can become markup. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element: `h('button', {type: 'button', onclick}, 'Save')`.
 * Properties are set as properties; `class`, `for`, `role`, `data-*` and `aria-*` as attributes.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (/^(class|for|role|colspan|scope)$|^(data|aria)-/.test(name)) element.setAttribute(name, String(value))
    else element[name] = value
  }
  element.append(...nodes(children))
  return element
}

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
 * Put `elements` into `parent` in this order, moving only those that are out of place.
 * @param {Element} parent
 * @param {Element[]} elements
 */
export function arrange(parent, elements) {
  const wanted = new Set(elements)
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove()
  elements.forEach((element, index) => {
    const there = parent.children[index] ?? null
    if (there === element) return
    // moveBefore keeps focus and scroll position, where the browser has it
    if (element.isConnected && 'moveBefore' in parent) parent.moveBefore(element, there)
    else parent.insertBefore(element, there)
  })
}

/**
 * Tell people who listen instead of look.
 * @param {string} text
 */
export function announce(text) {
  const spoken = document.getElementById('spoken')
  if (spoken) spoken.textContent = text
}

/** @param {(Child | Child[])[]} children */
function nodes(children) {
  return children.flat().filter(child => child !== null && child !== undefined && child !== false)
    .map(child => (child instanceof Node ? child : String(child)))
}
