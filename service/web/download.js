/** Saves a dataset as CSV: straight to disk where the browser can, else through its memory. */

import { request } from './api.js'
import { size } from './format.js'

const SAID_EVERY_MS = 200

/**
 * Ask where to, and save. `tell` is given a sentence about how it is going, and how it went.
 * @param {string} name
 * @param {(text: string) => void} tell
 */
export async function download(name, tell) {
  const file = `${name}.csv`
  try {
    const target = 'showSaveFilePicker' in window ? await (await window.showSaveFilePicker({ suggestedName: file })).createWritable() : null
    const { body } = await request(`/v1/datasets/${name}/export?format=csv`)
    const counted = body.pipeThrough(counter(bytes => tell(`${size(bytes)} of ${file} …`)))
    if (target) await counted.pipeTo(target)
    else save(await new Response(counted).blob(), file)
    tell(`${file} is saved.${target ? '' : ` This browser held all of it in memory; for a large dataset use: millrace rows ${name} --format csv`}`)
  } catch (problem) {
    tell(problem.name === 'AbortError' ? 'Nothing was saved.' : `${file} is not complete: ${problem.message}`)
  }
}

/** @param {(bytes: number) => void} tell */
function counter(tell) {
  let bytes = 0
  let said = 0
  return new TransformStream({
    transform(piece, out) {
      bytes += piece.byteLength
      if (performance.now() - said > SAID_EVERY_MS) {
        said = performance.now()
        tell(bytes)
      }
      out.enqueue(piece)
    },
  })
}

/**
 * @param {Blob} blob
 * @param {string} file
 */
function save(blob, file) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = file
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
