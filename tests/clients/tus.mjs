// node tus.mjs ENDPOINT KEY FILE CHUNK_BYTES PARALLEL STOP_AT: uploads with tus-js-client, and prints the upload's URL.
// With STOP_AT it is broken off once so many bytes are out, and resumed by a second client.
import { createReadStream, statSync } from 'node:fs'
import { basename } from 'node:path'
import { createRequire } from 'node:module'

const require = createRequire(`${process.cwd()}/`)
const { Upload } = require('tus-js-client')
const [endpoint, key, file, chunkSize, parallelUploads, stopAt] = process.argv.slice(2)

function upload(uploadUrl, onProgress) {
  return new Promise((resolve, reject) => {
    const parallel = Number(parallelUploads)
    const client = new Upload(createReadStream(file), {
      endpoint,
      uploadUrl,
      chunkSize: Number(chunkSize) || Infinity,
      ...(parallel > 1 ? { parallelUploads: parallel } : { uploadSize: statSync(file).size }),
      retryDelays: [0, 100, 500],
      headers: { Authorization: `Bearer ${key}` },
      metadata: { filename: basename(file), filetype: 'text/csv' },
      onError: reject,
      onSuccess: () => resolve(client.url),
      onProgress: sent => onProgress?.(client, sent, resolve),
    })
    client.start()
  })
}

let url = null
if (Number(stopAt)) {
  let stopped = false
  url = await upload(null, async (client, sent, resolve) => {
    if (stopped || sent < Number(stopAt)) return
    stopped = true
    await client.abort()
    resolve(client.url)
  })
}
console.log(await upload(url))
