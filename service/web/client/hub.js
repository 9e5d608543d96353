/**
 * The events of all jobs of an account, by one stream however many tabs of a browser follow them (see tabs.js).
 *
 * Each tab keeps the position of the last event it has told. So whoever leads next goes on behind its own, what others
 * have told already they drop, and who sees that something is missing reads that as a page.
 */

import { safely } from './ends.js'
import { backOff, pause, Problem } from './http.js'
import { order } from './position.js'
import { take } from './sse.js'
import { Tabs } from './tabs.js'

/**
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').JobEvent} JobEvent
 * @typedef {import('./types.js').AccountFollower} AccountFollower
 * @typedef {{prev: string, id: string, event: JobEvent}} Told an event, and the position of the one before it
 * @typedef {{told?: Told, line?: boolean, renew?: {jobs: Job[], position: string}, hello?: true}} Message between tabs
 * @typedef {object} Subscriber
 * @property {AccountFollower} follower
 * @property {string} position what its snapshot includes
 * @property {{id: string, event: JobEvent}[] | null} early events that came before its snapshot
 * @property {(problem: unknown) => void} fail
 */

const PATH = '/v1/events'
const PAGE = 500
const MISSES = 3
const MOST_EARLY = 5_000
const ALIVE_MS = 5_000

export class Hub {
  #http
  #pace
  /** @type {Set<Subscriber>} */
  #subscribers = new Set()
  #last = ''
  #wanted = ''
  #isCatchingUp = false
  #isConnected = true
  #misses = 0
  #saidAlive = 0
  /** @type {Tabs<Message>} */
  #tabs
  /** @type {AbortController | undefined} */
  #running
  /** @type {AbortSignal | undefined} that of `#running`, once its stream is asked for */
  #started

  /**
   * @param {import('./http.js').Http} http
   * @param {{pollMs: number, firstMs: number}} pace
   */
  constructor(http, pace) {
    this.#http = http
    this.#pace = pace
    this.#tabs = new Tabs({ lead: signal => this.#lead(signal), heard: message => this.#heard(message) })
  }

  /** Whether this tab holds the stream. */
  get isLeading() {
    return this.#tabs.isLeading
  }

  /**
   * Follow until `signal` aborts. Rejects with a Problem that trying again does not mend.
   * @param {AccountFollower} follower
   * @returns {Promise<void>}
   */
  follow(follower) {
    return new Promise((resolve, reject) => {
      if (follower.signal?.aborted) return resolve()
      /** @type {Subscriber} */
      const subscriber = { follower, position: '', early: [], fail: problem => { this.#leave(subscriber); reject(problem) } }
      follower.signal?.addEventListener('abort', () => { this.#leave(subscriber); resolve() }, { once: true })
      this.#subscribers.add(subscriber)
      this.#running ??= new AbortController()
      this.#welcome(subscriber).then(() => this.#start(), problem => subscriber.fail(problem))
    })
  }

  /** Tell somebody new where things stand, and what happened meanwhile. @param {Subscriber} subscriber */
  async #welcome(subscriber) {
    const { jobs, last_event_id } = await this.#snapshot(subscriber.follower.signal)
    if (!this.#subscribers.has(subscriber)) return
    this.#last ||= last_event_id
    this.#show(subscriber, jobs, last_event_id)
  }

  /**
   * @param {Subscriber} subscriber
   * @param {Job[]} jobs
   * @param {string} position
   */
  #show(subscriber, jobs, position) {
    const early = subscriber.early ?? []
    Object.assign(subscriber, { position, early: null })
    safely(subscriber.follower.snapshot, jobs)
    for (const { id, event } of early) this.#hand(subscriber, id, event)
  }

  /**
   * What has not ended, and the position behind which everything else comes; asked for until there is an answer.
   * @param {AbortSignal} [signal]
   * @returns {Promise<{jobs: Job[], last_event_id: string}>}
   */
  async #snapshot(signal) {
    for (let tries = 0; ; tries += 1) {
      try {
        return await this.#http.get(PATH, {}, { signal })
      } catch (error) {
        if (signal?.aborted || !(error instanceof Problem) || (!error.isPassing && error.code)) throw error
        if (tries + 1 >= MISSES) {
          const jobs = await this.#list(signal).catch(() => null) // streams are blocked down to their address
          if (jobs) return { jobs, last_event_id: '' }
        }
        this.#line(false)
        await pause(backOff(tries), signal)
      }
    }
  }

  /** @param {AbortSignal} [signal] @returns {Promise<Job[]>} */
  async #list(signal) {
    return (await this.#http.get('/v1/jobs', { limit: 200 }, { signal })).jobs
  }

  /** @param {Subscriber} subscriber */
  #leave(subscriber) {
    this.#subscribers.delete(subscriber)
    if (!this.#subscribers.size) this.#stop()
  }

  async #start() {
    const signal = this.#running?.signal
    if (!signal || this.#started === signal) return // nobody follows any more, or somebody else was welcomed first
    this.#started = signal
    const name = `millrace 1 ${this.#http.url} ${await digest(this.#http.identity)}`
    if (signal.aborted) return
    this.#tabs.join(name, signal)
    this.#tabs.say({ hello: true })
  }

  #stop() {
    this.#running?.abort(new DOMException('Nobody follows any more.', 'AbortError'))
    this.#running = undefined
    this.#last = this.#wanted = ''
  }

  /** Hold the stream, until `signal` aborts. @param {AbortSignal} signal */
  async #lead(signal) {
    try {
      for (;;) {
        try {
          return await take(this.#http, this.#source(signal), {
            ...this.#pace, signal, alive: () => this.#alive(), line: connected => this.#line(connected),
          })
        } catch (error) {
          if (signal.aborted) return
          if (!(error instanceof Problem) || error.code !== 'invalid_last_event_id') throw error
          this.#last = '' // the service went back to an earlier state: begin anew
        }
      }
    } catch (problem) {
      for (const subscriber of [...this.#subscribers]) subscriber.fail(problem)
    }
  }

  /** @param {AbortSignal} signal @returns {import('./sse.js').Source} */
  #source(signal) {
    return {
      path: PATH,
      after: () => this.#last,
      heard: message => {
        if (message.event === 'reconnect') return false
        const data = JSON.parse(message.data)
        if (message.event === 'snapshot') this.#renew(data.jobs, data.last_event_id)
        else this.#publish(message.id, data)
        return false
      },
      poll: async () => {
        try {
          await this.#page(signal)
          this.#misses = 0
        } catch (error) {
          this.#misses += 1
          if (signal.aborted || this.#misses < MISSES) throw error
          this.#renew(await this.#list(signal), this.#last)
        }
        return false
      },
    }
  }

  /** Everything behind the last event, by pages. @param {AbortSignal} [signal] */
  async #page(signal) {
    for (;;) {
      const page = await this.#http.get(PATH, { ...(this.#last ? { after: this.#last } : {}), limit: PAGE }, { signal })
      if (page.jobs) this.#renew(page.jobs, page.last_event_id)
      for (const { id, ...event } of page.events) this.#publish(id, event)
      if (page.events.length < PAGE) return
    }
  }

  /** @param {Job[]} jobs @param {string} position */
  #renew(jobs, position) {
    this.#last = position
    for (const subscriber of this.#subscribers) this.#show(subscriber, jobs, position)
    if (this.isLeading) this.#tabs.say({ renew: { jobs, position } })
  }

  /** @param {string} id @param {JobEvent} event */
  #publish(id, event) {
    const told = { prev: this.#last, id, event }
    if (!this.#accept(told)) return
    if (this.isLeading) this.#tabs.say({ told })
  }

  /** Tell an event if it is news here. @param {Told} told */
  #accept({ id, event }) {
    if (order(id, this.#last) <= 0) return false
    this.#last = id
    for (const subscriber of this.#subscribers) this.#hand(subscriber, id, event)
    return true
  }

  /**
   * @param {Subscriber} subscriber
   * @param {string} id
   * @param {JobEvent} event
   */
  #hand(subscriber, id, event) {
    const { follower, position, early } = subscriber
    if (early) {
      early.push({ id, event })
      if (early.length > MOST_EARLY) early.shift() // so old that the snapshot will include it
    } else if (order(id, position) > 0 && (follower.types?.includes(event.type) ?? true)) safely(follower.event, event)
  }

  /** What another tab says. @param {Message} message */
  #heard({ told, line, renew, hello }) {
    if (hello && this.isLeading) this.#tabs.say({ line: this.#isConnected })
    if (line !== undefined) this.#line(line)
    if (renew && !this.isLeading) this.#renew(renew.jobs, renew.position)
    if (!told || this.isLeading) return
    if (!this.#isCatchingUp && order(told.prev, this.#last) <= 0) this.#accept(told)
    else if (order(told.id, this.#wanted) > 0) {
      this.#wanted = told.id
      if (!this.#isCatchingUp) this.#catchUp()
    }
  }

  /** Something is missing here: read it. */
  async #catchUp() {
    const signal = this.#running?.signal
    this.#isCatchingUp = true
    for (let tries = 0; signal && !signal.aborted && order(this.#last, this.#wanted) < 0; tries += 1) {
      try {
        await this.#page(signal)
      } catch {
        await pause(backOff(tries), signal).catch(() => {})
      }
    }
    this.#isCatchingUp = false
  }

  #alive() {
    if (Date.now() - this.#saidAlive < ALIVE_MS) return
    this.#saidAlive = Date.now()
    this.#tabs.say({ line: true })
  }

  /** @param {boolean} connected */
  #line(connected) {
    if (this.#isConnected === connected) return
    this.#isConnected = connected
    for (const { follower } of this.#subscribers) safely(follower.line, connected)
    if (this.isLeading) this.#tabs.say({ line: connected })
  }
}

/** A name for an identity that does not give it away. @param {string} text */
async function digest(text) {
  if (!text || !crypto.subtle) return ''
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return [...bytes.slice(0, 8)].map(byte => byte.toString(16).padStart(2, '0')).join('')
}
