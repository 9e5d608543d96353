/** The request that carries a piece of a file, and tells how much of it is out. */

/** What is said in each request of tus. */
export const SPOKEN = { 'Tus-Resumable': '1.0.0' }
const STALL_MS = 45_000

/**
 * Send a piece behind offset `from`. Resolves to whatever answer there is, of status 0 if none came. Only XMLHttpRequest
 * tells how much of a body is out.
 * @param {import('./http.js').Http} http
 * @param {string} url
 * @param {number} from
 * @param {Blob} body
 * @param {{stops: Set<() => void>, stopped: unknown, moved: (bytes: number) => void}} how what is in `stops` breaks it off, and it rejects with `stopped`
 * @returns {Promise<{status: number, text: string, headers: (name: string) => string | null}>}
 */
export function put(http, url, from, body, { stops, stopped, moved }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest()
    const stall = () => sending.abort()
    let timer = setTimeout(stall, STALL_MS)
    const stop = () => { reject(stopped); sending.abort() }
    stops.add(stop)
    sending.open('PATCH', http.address(url))
    sending.withCredentials = http.credentials === 'include'
    const headers = { ...http.identification('PATCH'), ...SPOKEN, 'Upload-Offset': String(from), 'Content-Type': 'application/offset+octet-stream' }
    for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value)
    sending.upload.onprogress = ({ loaded }) => {
      clearTimeout(timer)
      if (loaded < body.size) timer = setTimeout(stall, STALL_MS)
      moved(loaded)
    }
    sending.onloadend = () => {
      clearTimeout(timer)
      stops.delete(stop)
      moved(0)
      resolve({ status: sending.status, text: sending.responseText, headers: name => sending.getResponseHeader(name) })
    }
    sending.send(body)
  })
}
