import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { until } from './process.ts'

/**
 * A provider with OpenAI's API whose replies a test controls, for servers in processes of their own. `settings` connect a server
 * to it.
 */
export async function startLanguageModel (t: Test) {
  const asked: Array<{ question: string, say: (text: string) => void, end: () => void, closed: Promise<unknown> }> = []
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (delta: object, finish: string | null = null) =>
      response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'x', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`)
    asked.push({
      question: JSON.parse(body).messages.at(-1).content,
      say: content => { send({ content }) },
      end: () => { send({}, 'stop'); response.end('data: [DONE]\n\n') },
      closed: once(response, 'close')
    })
  })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    settings: { OPENAI_API_KEY: 'a-key', OPENAI_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` },
    /** Waits for a call, counted from 1: of all calls, or of those with this question. */
    async call (nth: number, question?: string) {
      return await until(() => asked.filter(call => question === undefined || call.question === question)[nth - 1])
    }
  }
}
