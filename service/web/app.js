/** The page: signs in with the key, then starts what is on it. */

import { get, key, session } from './api.js'
import { say } from './dom.js'
import { live } from './live.js'
import './datasets.js'
import './intake.js'
import './jobs.js'

/** @param {string} id */
const element = id => /** @type {any} */ (document.getElementById(id))

/** The key may come behind the # of a link, which browsers do not send; it goes from the address bar at once. */
function takeKeyFromLink() {
  const given = /^#key=(.+)$/.exec(location.hash)?.[1]
  if (!given) return false
  try {
    key.set(decodeURIComponent(given))
  } catch {
    key.set(given)
  }
  history.replaceState(null, '', location.pathname + location.search)
  return true
}

/** Show the page if the key is good, else the form. */
async function enter() {
  if (!key.get()) return askForKey('')
  try {
    const { processors } = await get('/v1/processors')
    document.querySelector('millrace-intake').processors = processors
  } catch (problem) {
    return askForKey(problem.status === 401 ? 'The service does not know this key.' : `${problem.message} ${problem.suggestion}`)
  }
  for (const [id, isHidden] of [['sign-in', true], ['workspace', false], ['sign-out', false]]) element(id).hidden = isHidden
  live.start()
}

/** @param {string} why what was wrong with the key before */
function askForKey(why) {
  live.stop()
  for (const [id, isHidden] of [['sign-in', false], ['workspace', true], ['sign-out', true]]) element(id).hidden = isHidden
  say(element('sign-in-problem'), why)
  element('sign-in-problem').hidden = !why
  element('key').focus()
}

element('sign-in').addEventListener('submit', event => {
  event.preventDefault()
  key.set(element('key').value.trim())
  enter()
})
element('sign-out').addEventListener('click', () => {
  key.forget()
  location.reload() // nothing of the account stays in memory
})
session.addEventListener('refused', () => {
  key.forget()
  askForKey('The service does not know this key.')
})
live.addEventListener('line', () => {
  element('line').hidden = live.isConnected
  say(element('line'), live.isConnected ? '' : 'No connection. Trying again …')
})
addEventListener('hashchange', () => {
  if (takeKeyFromLink()) location.reload()
})

takeKeyFromLink()
enter()
