/** Saves what the service sends: straight to disk where the browser can, else through its memory. */

import { save } from './resources.js'

/**
 * Resolves to the bytes written.
 * @param {import('./http.js').Http} http
 * @param {string} url
 * @param {string} file what it is to be called
 * @param {{progress?: (bytes: number) => void, signal?: AbortSignal}} how
 */
export async function download(http, url, file, { progress, signal }) {
  const picker = /** @type {any} */ (globalThis).showSaveFilePicker
  const target = picker ? await (await picker.call(globalThis, { suggestedName: file })).createWritable() : null
  const { body } = await http.request(url, { signal })
  if (!body) return 0
  let bytes = 0
  const counted = body.pipeThrough(new TransformStream({
    transform(piece, out) { bytes += piece.byteLength; progress?.(bytes); out.enqueue(piece) },
  }))
  if (target) await counted.pipeTo(target)
  else save(await new Response(counted).blob(), file)
  return bytes
}
