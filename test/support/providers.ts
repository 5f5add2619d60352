import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

// Fakes of ten kinds of servers for language models. Each accepts only what the real one accepts, refuses everything else
// with the real error, and answers in its own format. They check the history, too, so a history that a fake accepts is valid.

export interface Message { role: string, content: string }

export interface Body {
  model: string
  messages: Message[]
  stream?: boolean
  stream_options?: object
  temperature?: number
  max_tokens?: number
  max_completion_tokens?: number
  user?: string
}

/** An error response: its status and its body. */
type Refused = [status: number, words: unknown]

/** One kind of provider. */
export interface Dialect {
  /** The path of its API, which is appended to the server's address. */
  base: string
  /** Returns the error response for a request that this provider does not accept. */
  refuse: (body: Body, url: string) => Refused | undefined
  /** Writes a text in this provider's format, in one or more pieces, and the end. */
  say: (response: ServerResponse, words: string[], body: Body) => void
}

/** The size of the context window of these providers, in tokens. Each word counts as one token. */
export const WINDOW = 400
export const tokensOf = ({ messages }: Body) => messages.reduce((sum, { content }) => sum + content.split(/\s+/).length, 0)

/** The order of messages that many chat templates require: `system? user assistant user … user`, none of them blank. */
export function isInOrder (messages: Message[], roles = ['system']): boolean {
  const rest = roles.includes(messages[0]?.role ?? '') ? messages.slice(1) : messages
  return rest.length % 2 === 1 && messages.every(({ content }) => content.trim() !== '') &&
    rest.every(({ role }, n) => role === (n % 2 === 0 ? 'user' : 'assistant'))
}

const events = (response: ServerResponse, ...data: unknown[]) => {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const each of data) response.write(`data: ${typeof each === 'string' ? each : JSON.stringify(each)}\n\n`)
}
const chunk = (delta: object, finish: string | null = null, more = {}) => ({ id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }], ...more })
const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
const unknownIn = (body: Body, known: string[]) => Object.keys(body).find(field => !['model', 'messages', ...known].includes(field))

function sayAsOpenAi (response: ServerResponse, words: string[], body: Body) {
  events(response, chunk({ role: 'assistant', content: '', refusal: null }), ...words.map(content => chunk({ content })), chunk({}, 'stop'))
  if (body.stream_options !== undefined) events(response, { choices: [], usage })
  events(response, '[DONE]')
  response.end()
}

const sayWhole = (response: ServerResponse, words: string[]) =>
  response.writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: words.join('') }, finish_reason: 'stop' }], usage }))

export const DIALECTS: Record<string, Dialect> = {
  openai: {
    base: '/v1',
    refuse (body) {
      const error = (message: string, param: string, code: string): Refused => [400, { error: { message, type: 'invalid_request_error', param, code } }]
      if (body.max_tokens !== undefined) return error('Unsupported parameter: \'max_tokens\' is not supported with this model. Use \'max_completion_tokens\' instead.', 'max_tokens', 'unsupported_parameter')
      if (body.temperature !== undefined) return error('Unsupported value: \'temperature\' does not support 0.5 with this model. Only the default (1) value is supported.', 'temperature', 'unsupported_value')
      if (body.messages[0]!.role === 'system') return error('Unsupported value: \'messages[0].role\' does not support \'system\' with this model.', 'messages[0].role', 'unsupported_value')
      if (tokensOf(body) > WINDOW) return error(`This model's maximum context length is ${WINDOW} tokens. However, your messages resulted in ${tokensOf(body)} tokens. Please reduce the length of the messages.`, 'messages', 'context_length_exceeded')
      if (!isInOrder(body.messages, ['developer'])) return error('Invalid messages', 'messages', 'invalid_value')
    },
    say: sayAsOpenAi
  },

  azure: {
    base: '/openai/deployments/mine?api-version=2024-10-21',
    refuse (body, url) {
      if (!url.includes('api-version=2024-10-21')) return [404, { error: { code: '404', message: 'Resource not found' } }]
      const error = (message: string, code: string | null): Refused => [400, { error: { message, type: 'invalid_request_error', param: null, code } }]
      if (body.stream_options !== undefined) return [400, { error: { requestid: 'x', code: 400, message: 'Validation error at #/stream_options: Extra inputs are not permitted' } }]
      if (tokensOf(body) > WINDOW) return error(`This model's maximum context length is ${WINDOW} tokens, however you requested ${tokensOf(body)} tokens.`, 'context_length_exceeded')
      if (!isInOrder(body.messages)) return error('Invalid messages', null)
    },
    say (response, words) {
      const filters = { content_filter_results: { hate: { filtered: false, severity: 'safe' } } }
      events(response, { choices: [], prompt_filter_results: [{ prompt_index: 0, ...filters }] }, chunk({ role: 'assistant', content: '' }),
        ...words.map(content => ({ choices: [{ index: 0, delta: { content }, finish_reason: null, ...filters }] })),
        { choices: [{ index: 0, delta: {}, finish_reason: 'stop', ...filters }] }, '[DONE]')
      response.end()
    }
  },

  mistral: {
    base: '/v1',
    refuse (body) {
      const detail = (loc: Array<string | number>, type: string, msg: string): Refused => [422, { object: 'error', message: { detail: [{ type, loc, msg, input: body.messages }] }, type: 'invalid_request_error', param: null, code: null }]
      const extra = unknownIn(body, ['stream', 'temperature', 'max_tokens'])
      if (extra !== undefined) return detail(['body', extra], 'extra_forbidden', 'Extra inputs are not permitted')
      const error = (message: string): Refused => [400, { object: 'error', message, type: 'invalid_request_message_order', param: null, code: '3230' }]
      if (body.messages.at(-1)!.role !== 'user') return error('Expected last role User or Tool for serving but got assistant')
      if (tokensOf(body) > WINDOW) return [400, { object: 'error', message: `Prompt contains ${tokensOf(body)} tokens and 0 draft tokens, too large for model with ${WINDOW} maximum context length`, type: 'invalid_request_error', param: null, code: '3051' }]
      if (!isInOrder(body.messages)) return error('Unexpected role \'assistant\' after role \'assistant\'')
    },
    say (response, words) {
      events(response, chunk({ role: 'assistant', content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'The user wants an answer.' }] }] }),
        ...words.map(text => chunk({ content: [{ type: 'text', text }] })), chunk({ content: '' }, 'stop', { usage }), '[DONE]')
      response.end()
    }
  },

  vllm: {
    base: '/v1',
    refuse (body) {
      const error = (message: string): Refused => [400, { object: 'error', message, type: 'BadRequestError', param: null, code: 400 }]
      if (body.stream_options !== undefined) return error("[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted', 'input': {'include_usage': True}}]")
      if (!isInOrder(body.messages, [])) return error('Conversation roles must alternate user/assistant/user/assistant/...')
      if (tokensOf(body) > WINDOW) return error(`This model's maximum context length is ${WINDOW} tokens. However, you requested ${tokensOf(body)} tokens in the messages, Please reduce the length of the messages.`)
    },
    say (response, words, body) {
      events(response, chunk({ role: 'assistant', content: '' }), chunk({ content: '<thi' }), chunk({ content: 'nk>\nThe user' }), chunk({ content: ' says hello.\n</th' }), chunk({ content: 'ink>\n' }), chunk({ content: '\n' }))
      sayAsOpenAi(response, words, body)
    }
  },

  'llama.cpp': {
    base: '/v1',
    refuse (body) {
      const error = (code: number, message: string, more = {}): Refused => [code, { error: { code, message, type: code === 500 ? 'server_error' : 'invalid_request_error', ...more } }]
      if (body.messages[0]!.role === 'system') return error(500, 'Jinja Exception: System role not supported at row 1, column 80')
      if (!isInOrder(body.messages, [])) return error(500, 'Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/... at row 2, column 1')
      const tokens = tokensOf(body)
      if (tokens > WINDOW) return error(400, 'the request exceeds the available context size, try increasing it', { type: 'exceed_context_size_error', n_prompt_tokens: tokens, n_ctx: WINDOW })
    },
    say (response, words, body) {
      events(response, chunk({ role: 'assistant', content: null }), chunk({ reasoning_content: 'They say hello.' }))
      sayAsOpenAi(response, words, body)
    }
  },

  ollama: {
    base: '/v1',
    refuse (body) {
      if (body.user !== undefined) return [400, { error: { message: 'json: unknown field "user"', type: 'invalid_request_error', param: null, code: null } }]
      if (!isInOrder(body.messages)) return [500, { error: { message: 'template: :1: roles must alternate', type: 'api_error', param: null, code: null } }]
    },
    say (response, words) {
      // This provider itself truncates a history that is too long, and has `finish_reason` only in the last piece.
      events(response, chunk({ role: 'assistant', content: '', reasoning: 'Hello, they say.' }), ...words.map(content => chunk({ role: 'assistant', content })), chunk({ role: 'assistant', content: '' }, 'stop'), '[DONE]')
      response.end()
    }
  },

  openrouter: {
    base: '/api/v1',
    refuse (body) {
      const raw = (message: string, code: string): Refused => [400, { error: { message: 'Provider returned error', code: 400, metadata: { raw: JSON.stringify({ error: { message, type: 'invalid_request_error', code } }), provider_name: 'Some' } }, user_id: 'user_2x' }]
      if (body.temperature !== undefined) return raw('temperature is not supported by this model', 'unsupported')
      if (tokensOf(body) > WINDOW) return [400, { error: { message: `This endpoint's maximum context length is ${WINDOW} tokens. However, you requested about ${tokensOf(body)} tokens (${tokensOf(body)} of text input). Please reduce the length of either one.`, code: 400, metadata: { provider_name: null } } }]
      if (!isInOrder(body.messages)) return raw('messages: roles must alternate between "user" and "assistant"', 'invalid')
    },
    say (response, words, body) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n')
      events(response, chunk({ role: 'assistant', content: '', reasoning: 'They greet.', reasoning_details: [{ type: 'reasoning.text', text: 'They greet.' }] }))
      sayAsOpenAi(response, words, body)
    }
  },

  gemini: {
    base: '/v1beta/openai',
    refuse (body) {
      const error = (message: string): Refused => [400, [{ error: { code: 400, message, status: 'INVALID_ARGUMENT' } }]]
      const extra = unknownIn(body, ['stream', 'temperature', 'max_tokens', 'max_completion_tokens'])
      if (extra !== undefined) return error(`Invalid JSON payload received. Unknown name "${extra}": Cannot find field.`)
      if (body.messages[0]!.role === 'system') return error('Developer instruction is not enabled for models/gemma-3-27b-it')
      if (tokensOf(body) > WINDOW) return error(`The input token count (${tokensOf(body)}) exceeds the maximum number of tokens allowed (${WINDOW}).`)
      if (!isInOrder(body.messages, [])) return error('Please ensure that multiturn requests alternate between user and model.')
    },
    say (response, words) {
      events(response, ...words.map(content => ({ choices: [{ index: 0, delta: { role: 'assistant', content } }], usage })), { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }], usage }, '[DONE]')
      response.end()
    }
  },

  deepseek: {
    base: '',
    refuse (body) {
      const error = (message: string): Refused => [400, { error: { message, type: 'invalid_request_error', param: null, code: 'invalid_request_error' } }]
      if (body.messages.some(message => 'reasoning_content' in message)) return error('reasoning_content is not allowed in the input')
      if (tokensOf(body) > WINDOW) return error(`This model's maximum context length is ${WINDOW} tokens. However, you requested ${tokensOf(body)} tokens (${tokensOf(body)} in the messages, 0 in the completion). Please reduce the length of the messages or completion.`)
      if (!isInOrder(body.messages)) return error('deepseek-reasoner does not support successive user or assistant messages. You should interleave the user/assistant messages in the message sequence.')
    },
    say (response, words) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': keep-alive\n\n\n\n: keep-alive\n\n')
      events(response, chunk({ role: 'assistant', content: null, reasoning_content: '' }), chunk({ content: null, reasoning_content: 'Hello.' }),
        ...words.map(content => chunk({ content, reasoning_content: null })), chunk({ content: '', reasoning_content: null }, 'stop', { usage }), '[DONE]')
      // A proxy in front of this provider keeps the connection open.
    }
  },

  'a gateway that knows nothing': {
    base: '/llm',
    refuse (body) {
      const extra = unknownIn(body, [])
      if (extra !== undefined) return [extra === 'stream' ? 501 : 422, { detail: [{ type: 'extra_forbidden', loc: ['body', extra], msg: 'Extra inputs are not permitted', input: 'x' }] }]
      if (!isInOrder(body.messages, [])) return [422, { detail: [{ type: 'literal_error', loc: ['body', 'messages', 0, 'role'], msg: "Input should be 'user' or 'assistant'", input: 'system' }] }]
      if (tokensOf(body) > WINDOW) return [413, '<html><body><h1>413 Request Entity Too Large</h1></body></html>']
    },
    say: sayWhole
  }
}

export interface Provider {
  url: string
  /** All requests, with the status of their responses: 200, or that of an error. */
  asked: Array<{ body: Body, status: number }>
  /** Calls `act` in place of answering the next accepted request. */
  next: (act: (response: ServerResponse) => unknown) => void
}

/** Starts a fake provider behind a real HTTP server, which answers each accepted request with the same words. */
export async function serveDialect (t: Test, { base, refuse, say }: Dialect, words: string[]): Promise<Provider> {
  const asked: Provider['asked'] = []
  const acts: Array<(response: ServerResponse) => unknown> = []
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = ''
    for await (const piece of request) text += piece
    const body = JSON.parse(text) as Body
    const refused = refuse(body, request.url!)
    asked.push({ body, status: refused?.[0] ?? 200 })
    const act = refused === undefined ? acts.shift() : undefined
    if (refused !== undefined) {
      const isJson = typeof refused[1] !== 'string'
      response.writeHead(refused[0], { 'content-type': isJson ? 'application/json' : 'text/html' }).end(isJson ? JSON.stringify(refused[1]) : refused[1])
    } else if (act !== undefined) act(response)
    else say(response, words, body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${base}`, asked, next: act => { acts.push(act) } }
}
