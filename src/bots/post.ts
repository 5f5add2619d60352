import { Headers, request, type Dispatcher } from 'undici'

/** What is posted, and through which connections; redirects are not followed. */
export interface Posted {
  headers: Record<string, string> | Headers
  body: string
  signal: AbortSignal
  dispatcher: Dispatcher
}

/**
 * The answer, in `fetch`'s terms as far as it has them; its body is a stream of bytes, which ends with an error when the
 * signal aborts. `fetch` itself would put two more streams between us and the socket.
 */
export async function post (url: string, { headers, body, signal, dispatcher }: Posted) {
  const answer = await request(url, { method: 'POST', headers, body, signal, dispatcher })
  answer.body.on('error', () => { /* whoever reads gets it; with nobody there yet it would end the process */ })
  const status = answer.statusCode
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: new Headers(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])),
    body: answer.body
  }
}
