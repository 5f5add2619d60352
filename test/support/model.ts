import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { ReplyPiece, ReplyContext, Turn } from '../../src/bots/bot.ts'
import { createCall } from '../../src/bots/provider-call.ts'
import { createOpenAi } from '../../src/bots/openai.ts'
import type { OpenAiSettings } from '../../src/bots/settings.ts'
import type { Config } from '../../src/config.ts'
import { settings } from './helper.ts'
import type { Body } from './providers.ts'

export const KEY = 'sk-proj-4f9aK/2+mQ7z-secret=='

export const user = (text: string, name = 'ann'): Turn => ({ sender: 'user', name, text })
export const bot = (text: string, name = 'assistant'): Turn => ({ sender: 'bot', name, text })
export const HELLO = [user('Hello')]

export type Answer = (response: ServerResponse, body: Body) => unknown

/** Starts a fake provider of language models behind a real HTTP server, and makes bots that call it. */
export async function serve (t: Test, answer: Answer, changes: Partial<Config> = {}) {
  const bodies: Body[] = []
  let port: number | undefined
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const piece of request) text += piece
    bodies.push(JSON.parse(text))
    port = request.socket.remotePort
    await answer(response, bodies.at(-1)!)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const config = settings({ OPENAI_API_KEY: KEY, OPENAI_BASE_URL: url, OPENAI_MODEL: 'some', BOT_BREAKER_FAILURES: 1000, BOT_TIMEOUT_FIRST: 20, ...changes })
  const openAi = createOpenAi(config, createCall(config))
  t.teardown(() => openAi.close())
  return {
    url,
    bodies,
    /** Generates a reply. Returns its final text and reasoning, all other pieces, and the failure code. `asked` is the number of requests, `took` the time in milliseconds. */
    async ask (settings: OpenAiSettings = {}, turns = HELLO, providerUser?: string) {
      const pieces: ReplyPiece[] = []
      const heard = { text: '', reasoning: '', pieces, failure: undefined as string | undefined, log: '', asked: -bodies.length, took: -performance.now(), port }
      try {
        for await (const piece of await openAi.createBot(settings, 'assistant')(turns, new AbortController().signal, { providerUser } as ReplyContext)) {
          if ('reasoning' in piece) {
            heard.reasoning = (piece.replaces === true ? '' : heard.reasoning) + piece.reasoning
            continue
          }
          pieces.push(piece)
          if ('text' in piece) heard.text = (piece.replaces === true ? '' : heard.text) + piece.text
        }
      } catch (error) {
        heard.failure = (error as { failure: string }).failure
        heard.log = String((error as { cause?: Error }).cause?.message)
      }
      heard.asked += bodies.length
      heard.took += performance.now()
      heard.port = port
      return heard
    },
    /** The text of a reply whose reader stops after this many pieces. */
    async stopAfter (most: number) {
      let text = ''
      for await (const piece of await openAi.createBot({}, 'assistant')(HELLO, new AbortController().signal)) {
        if ('text' in piece) text += piece.text
        if (--most === 0) break
      }
      return text
    }
  }
}

// Responses of a provider.
export const chunk = (delta: object, finish: string | null = null) => ({ choices: [{ index: 0, delta, finish_reason: finish }] })
export const event = (data: unknown, name?: string) => `${name === undefined ? '' : `event: ${name}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
export const stream = (response: ServerResponse, ...parts: string[]) => {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const part of parts) response.write(part)
  return response
}
export const END = event(chunk({}, 'stop')) + event('[DONE]')
export const say = (response: ServerResponse, text: string) => stream(response, event(chunk({ content: text })), END).end()
export const json = (response: ServerResponse, status: number, body: unknown) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
export const whole = (response: ServerResponse, message: object) => json(response, 200, { choices: [{ index: 0, message, finish_reason: 'stop' }] })
