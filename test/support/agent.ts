import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { RunAgentInput } from '@ag-ui/core'
import { RunAgentInputSchema } from '@ag-ui/core/schemas'
import { EventEncoder } from '@ag-ui/encoder'

/** A run that an agent was asked for. */
export interface Run {
  input: RunAgentInput
  headers: IncomingHttpHeaders
  response: ServerResponse
  /** Resolves when the connection is closed. */
  gone: Promise<unknown>
  /** Begins the run, and sends events. */
  send: (...events: object[]) => void
  /** Sends events, and ends the run and the answer. */
  finish: (...events: object[]) => void
}

/** An event in the protocol's own encoding. */
export const encoded = (event: object) => new EventEncoder().encode(event as Parameters<EventEncoder['encode']>[0])

export const message = (messageId: string, ...deltas: string[]) => [
  { type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' },
  ...deltas.map(delta => ({ type: 'TEXT_MESSAGE_CONTENT', messageId, delta })),
  { type: 'TEXT_MESSAGE_END', messageId }
]

/**
 * An agent that speaks AG-UI, behind a real HTTP server. Every request is checked by the protocol's own schema. `runs` are the
 * requests so far.
 */
export async function serveAgent (t: Test, answer: (run: Run) => unknown) {
  const runs: Run[] = []
  const server = createServer(async (request, response) => {
    const gone = once(response, 'close')
    let text = ''
    for await (const chunk of request) text += chunk
    const input = RunAgentInputSchema.parse(JSON.parse(text)) as RunAgentInput
    const { threadId, runId } = input
    const send: Run['send'] = (...events) => {
      const begun = response.headersSent ? [] : [{ type: 'RUN_STARTED', threadId, runId }]
      if (!response.headersSent) response.writeHead(200, { 'content-type': new EventEncoder().getContentType() })
      response.write([...begun, ...events].map(encoded).join('')) // all at once, so that no limit of time can pass between them
    }
    const finish: Run['finish'] = (...events) => {
      send(...events, { type: 'RUN_FINISHED', threadId, runId })
      response.end()
    }
    const run = { input, headers: request.headers, response, gone, send, finish }
    runs.push(run)
    await answer(run)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { runs, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/agent` }
}
