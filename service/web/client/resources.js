/** The API by what it is about. Each method is one request, and resolves to what the service answers. */

import { Problem } from './http.js'

/**
 * @typedef {import('./http.js').Http} Http
 * @typedef {import('./types.js').Job} Job
 * @typedef {import('./types.js').JobEvent} JobEvent
 * @typedef {import('./types.js').Upload} Upload
 * @typedef {import('./types.js').Dataset} Dataset
 * @typedef {import('./types.js').Reject} Reject
 * @typedef {import('./types.js').Attempt} Attempt
 * @typedef {import('./types.js').Explanation} Explanation
 * @typedef {import('./types.js').Batch} Batch
 * @typedef {import('./types.js').BatchResult} BatchResult
 * @typedef {{limit?: number, cursor?: string | null, signal?: AbortSignal}} Page
 * @typedef {{where?: string | string[], sort?: string, job?: string, columns?: string}} Wanted which rows
 * @typedef {{format?: 'csv' | 'ndjson' | 'parquet', formulas?: 'keep'} & Omit<Wanted, 'sort'>} Export
 */

const each = encodeURIComponent
const AT_ONCE = 4
const FORGET_MS = 60_000

/** @param {Http} http @param {string} path @param {Page & Record<string, unknown>} [asked] @param {boolean} [exact] */
const page = (http, path, { signal, ...query } = {}, exact = false) => http.get(path, query, { signal, exact })

/** @param {Http} http */
export function jobsOf(http) {
  /** @param {string} id @param {string} [below] */
  const path = (id, below = '') => `/v1/jobs/${each(id)}${below}`
  /** @param {string} id @param {string} verb @param {Record<string, unknown>} [query] @returns {Promise<Job>} */
  const post = (id, verb, query) => http.send('POST', path(id, `/${verb}`), { query })

  return {
    /** Newest first. @param {Page & {state?: string, processor?: string, queue?: string}} [asked] @returns {Promise<{jobs: Job[], next_cursor: string | null}>} */
    list: asked => page(http, '/v1/jobs', asked),
    /** @param {string} id @param {{signal?: AbortSignal}} [how] @returns {Promise<Job>} */
    get: (id, how) => http.get(path(id), {}, how),
    /** Queue a job, or a list of them: all or none. @param {Record<string, unknown> | Record<string, unknown>[]} body @param {{idempotencyKey?: string}} [how] */
    create: (body, { idempotencyKey } = {}) =>
      http.send('POST', '/v1/jobs', { json: body, headers: idempotencyKey ? { 'Idempotency-Key': idempotencyKey } : {} }),
    /** Stop after the chunk in hand. @param {string} id */
    pause: id => post(id, 'pause'),
    /** @param {string} id */
    resume: id => post(id, 'resume'),
    /** Stop for good, and keep or remove the rows that are stored. @param {string} id @param {{rows?: 'keep' | 'remove'}} [how] */
    cancel: (id, { rows = 'keep' } = {}) => post(id, 'cancel', { rows }),
    /** Run a failed or cancelled job again. @param {string} id @param {{from?: 'checkpoint' | 'start'}} [how] */
    retry: (id, { from = 'checkpoint' } = {}) => post(id, 'retry', { from }),
    /** Take back what it has stored; resolves to the job that does it. @param {string} id */
    undo: id => post(id, 'undo'),
    /** Whether it can be undone. @param {string} id @returns {Promise<{possible: boolean, code?: string, detail?: string, suggestion?: string}>} */
    undoable: id => http.get(path(id, '/undo')),
    /** Take an ended job out of sight; its rows stay. @param {string} id @returns {Promise<void>} */
    delete: id => http.send('DELETE', path(id)),
    /** @param {string} id @param {number} priority 1 to 10, 10 is most urgent @returns {Promise<Job>} */
    prioritize: (id, priority) => http.send('PATCH', path(id), { json: { priority } }),
    /** The same for up to 1,000 jobs. @param {Batch} batch @returns {Promise<{results: BatchResult[]}>} */
    batch: batch => http.send('POST', '/v1/jobs/batch', { json: batch }),
    /** Undo many, a few at a time. @param {string[]} ids @returns {Promise<{results: BatchResult[]}>} */
    undoAll: async ids => ({ results: await several(ids, id => post(id, 'undo')) }),
    /** Why it stands where it stands. @param {string} id @returns {Promise<Explanation>} */
    explain: id => http.get(path(id, '/explain')),
    /** Who ran it, oldest first. @param {string} id @param {Page} [asked] @returns {Promise<{attempts: Attempt[], next_cursor: string | null}>} */
    attempts: (id, asked) => page(http, path(id, '/attempts'), asked),
    /** What happened behind event number `after`, without following. @param {string} id @param {{after?: number, limit?: number, signal?: AbortSignal}} [asked] @returns {Promise<{events: JobEvent[], last_event_id: number}>} */
    events: (id, { after = 0, ...asked } = {}) => page(http, path(id, '/events'), { after, ...asked }),
    /** Refused rows, in row order. @param {string} id @param {Page & {state?: 'open' | 'closed' | 'all'}} [asked] @returns {Promise<{rejects: Reject[], next_cursor: string | null}>} */
    rejects: (id, asked) => page(http, path(id, '/rejects'), asked, true),
    /** The same as a table to correct in a spreadsheet. @param {string} id @returns {Promise<Blob>} */
    rejectsTable: async id => (await http.request(path(id, '/rejects'), { query: { format: 'csv' } })).blob(),
    /**
     * Send rejects back, corrected: rows with the cells that change, or the table as CSV. Resolves to the job that does it.
     * @param {string} id
     * @param {{row: number, values: Record<string, unknown>}[] | Blob | string} corrected
     * @returns {Promise<Job>}
     */
    correct: async (id, corrected) => Array.isArray(corrected)
      ? http.send('POST', path(id, '/rejects'), { json: { rows: corrected } })
      : (await http.request(path(id, '/rejects'), { method: 'POST', body: corrected, headers: { 'Content-Type': 'text/csv' } })).json(),
    /** Rows worth knowing of. @param {string} id @param {Page} [asked] @returns {Promise<{notes: Record<string, any>[], next_cursor: string | null}>} */
    notes: (id, asked) => page(http, path(id, '/notes'), asked, true),
  }
}

/** @param {Http} http */
export function datasetsOf(http) {
  /** @param {string} name @param {string} [below] */
  const path = (name, below = '') => `/v1/datasets/${each(name)}${below}`
  /** @param {string} name @param {Export} [wanted] */
  const exportUrl = (name, { format = 'csv', ...wanted } = {}) => http.address(path(name, '/export'), { format, ...wanted })

  return {
    /** By name. @param {Page} [asked] @returns {Promise<{datasets: Dataset[], next_cursor: string | null}>} */
    list: asked => page(http, '/v1/datasets', asked),
    /** @param {string} name @returns {Promise<Dataset>} */
    get: name => http.get(path(name)),
    /** Rows as they are now, also while a job fills it. @param {string} name @param {Page & Wanted} [asked] @returns {Promise<{rows: Record<string, any>[], next_cursor: string | null}>} */
    rows: (name, asked) => page(http, path(name, '/rows'), asked, true),
    /** Where a session can download it; with a key use `download`. @param {string} name @param {Export} [wanted] */
    exportUrl,
    /**
     * Save it: straight to disk where the browser can, else through its memory. Resolves to the bytes written.
     * @param {string} name
     * @param {Export & {progress?: (bytes: number) => void, signal?: AbortSignal}} [wanted]
     */
    download: async (name, { progress, signal, ...wanted } = {}) => {
      const { download } = await import('./saving.js')
      return download(http, exportUrl(name, wanted), `${name}.${wanted.format ?? 'csv'}`, { progress, signal })
    },
    /** What would change if `other` took its place. @param {string} name @param {Page & {with: string, keys?: string}} asked @returns {Promise<Record<string, any>>} */
    diff: (name, asked) => page(http, path(name, '/diff'), asked, true),
    /** The two change places. @param {string} name @param {string} other @returns {Promise<{datasets: Dataset[]}>} */
    swap: (name, other) => http.send('POST', path(name, '/swap'), { json: { with: other } }),
    /** With its rows. @param {string} name @returns {Promise<void>} */
    delete: name => http.send('DELETE', path(name)),
  }
}

/** @param {Http} http */
export function uploadsOf(http) {
  /** @param {string} id @param {string} [below] */
  const path = (id, below = '') => `/v1/uploads/${each(id)}${below}`
  return {
    /** Newest first. @param {Page & {state?: string, sha256?: string}} [asked] @returns {Promise<{uploads: Upload[], next_cursor: string | null}>} */
    list: asked => page(http, '/v1/uploads', asked),
    /** @param {string} id @returns {Promise<Upload>} */
    get: id => http.get(path(id)),
    /** The file. @param {string} id @param {RequestInit} [init] @returns {Promise<Response>} */
    content: (id, init) => http.request(path(id, '/content'), init),
    /** Where a session can download the file. @param {string} id */
    contentUrl: id => http.address(path(id, '/content')),
    /** Let the service fetch a file. @param {{url: string, name?: string}} body @param {Record<string, unknown>} [job] as parameters @returns {Promise<Upload>} */
    fetch: (body, job) => http.send('POST', '/v1/uploads', { query: job, json: body }),
    /** A job over it, like its last one or the one given. @param {string} id @param {Record<string, unknown>} [job] @returns {Promise<Job>} */
    process: (id, job) => http.send('POST', path(id, '/process'), { json: job }),
    /** @param {Record<string, unknown>} batch @returns {Promise<{results: Record<string, any>[]}>} */
    batch: batch => http.send('POST', '/v1/uploads/batch', { json: batch }),
    /** @param {string} id @returns {Promise<void>} */
    delete: id => http.send('DELETE', path(id)),
  }
}

/** @param {Http} http @param {string} kind `flows`, `schedules` or `rules` */
function collection(http, kind) {
  /** @param {string} id @param {string} [below] */
  const path = (id, below = '') => `/v1/${kind}/${each(id)}${below}`
  return {
    path,
    /** Newest first. @param {Page & {state?: string}} [asked] @returns {Promise<Record<string, any>>} */
    list: asked => page(http, `/v1/${kind}`, asked),
    /** @param {string} id @returns {Promise<Record<string, any>>} */
    get: id => http.get(path(id)),
    /** @param {Record<string, unknown>} body @returns {Promise<Record<string, any>>} */
    create: body => http.send('POST', `/v1/${kind}`, { json: body }),
  }
}

/** @param {Http} http */
export function flowsOf(http) {
  const { path, ...common } = collection(http, 'flows')
  return {
    ...common,
    /** @param {string} id @param {{rows?: 'keep' | 'remove'}} [query] @returns {Promise<Record<string, any>>} */
    cancel: (id, query) => http.send('POST', path(id, '/cancel'), { query }),
    /** @param {string} id @param {{from?: 'checkpoint' | 'start'}} [query] @returns {Promise<Record<string, any>>} */
    retry: (id, query) => http.send('POST', path(id, '/retry'), { query }),
  }
}

/** @param {Http} http */
export function schedulesOf(http) {
  const { path, ...common } = collection(http, 'schedules')
  return {
    ...common,
    /** Change what is given; `{paused}` pauses and resumes. @param {string} id @param {Record<string, unknown>} body @returns {Promise<Record<string, any>>} */
    change: (id, body) => http.send('PATCH', path(id), { json: body }),
    /** Its job now. @param {string} id @returns {Promise<Job>} */
    run: id => http.send('POST', path(id, '/run')),
    /** @param {string} id @returns {Promise<void>} */
    delete: id => http.send('DELETE', path(id)),
  }
}

/** @param {Http} http */
export function rulesOf(http) {
  const { list, create, path } = collection(http, 'rules')
  return {
    list,
    create,
    /** @param {string} id @returns {Promise<void>} */
    delete: id => http.send('DELETE', path(id)),
  }
}

/**
 * Ask one thing of many, a few at a time; one result each.
 * @param {string[]} ids
 * @param {(id: string) => Promise<Job>} ask
 * @returns {Promise<BatchResult[]>}
 */
async function several(ids, ask) {
  /** @type {BatchResult[]} */
  const results = []
  const left = ids.entries()
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const [index, id] of left) {
      try {
        results[index] = { id, ok: true, state: (await ask(id)).state }
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        results[index] = { id, ok: false, code: error.code, detail: error.message }
      }
    }
  }))
  return results
}

/**
 * Let the browser save a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), FORGET_MS)
}
