import { OpenAI } from 'openai'
import { Agent } from 'undici'
import type { Config } from '../config.js'
import { failure, type Piece, type StreamingBot, type Turn } from './bot.js'
import type { Call } from './call.js'
import { readPieces, type Said } from './event-stream.js'
import { fit } from './history.js'
import { post, type Posted } from './post.js'
import { refusal, unreachable } from './refusal.js'
import type { OpenAiSettings } from './settings.js'

export type OpenAiConfig = Pick<Config, 'OPENAI_API_KEY' | 'OPENAI_BASE_URL' | 'OPENAI_MODEL' | 'BOT_TIMEOUT_CONNECT'>

type Body = OpenAI.ChatCompletionCreateParamsStreaming

/** Language models at anything that speaks like OpenAI, through a pool of connections of their own. */
export function createOpenAi (config: OpenAiConfig, call: Call) {
  const { OPENAI_API_KEY: key, OPENAI_BASE_URL: address, OPENAI_MODEL: defaultModel } = config
  // The library's and the pool's own limits would cut a model that is slow; ours are the clock's.
  const pool = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: config.BOT_TIMEOUT_CONNECT * 1000 } })
  const close = () => pool.destroy()
  if (key === undefined) return { close, createBot: () => notConfigured }

  const client = createClient(key, address, pool)
  const tokenizer = import('gpt-tokenizer/encoding/o200k_base') // 66 MB, for those who need it
  const words = (error: unknown) => wordsOf(error, key)
  /** What a model was seen to refuse, so that it is asked for it only once. */
  const refused = new Set<string>()

  return {
    close,
    createBot ({ prompt, history_tokens: budget = 8000, model = defaultModel, temperature, max_tokens: maxTokens }: OpenAiSettings, name: string): StreamingBot {
      return async function reply (turns, signal) {
        const messages = await messagesOf(turns, budget, name, prompt)
        return call(address, signal => ask({
          model, messages, temperature, max_tokens: maxTokens, stream: true, stream_options: { include_usage: true }
        }, signal), signal)
      }
    }
  }

  async function messagesOf (turns: Turn[], budget: number, name: string, prompt: string | undefined): Promise<Body['messages']> {
    const { countTokens } = await tokenizer
    const lines = await fit(turns, budget, name, countTokens)
    return prompt === undefined ? lines : [{ role: 'system', content: prompt }, ...lines]
  }

  async function ask (body: Body, signal: AbortSignal): Promise<AsyncIterable<Piece>> {
    const response = await complete(body, signal)
    let isCompletion = false
    return readPieces(response.body!, event => {
      const { error, choices, usage } = (event ?? {}) as Partial<Chunk>
      if (error !== undefined) throw failure('BOT_BROKE_OFF', words(new Error(JSON.stringify(error))))
      isCompletion ||= Array.isArray(choices)
      return said(choices?.[0], usage)
    }, () => failure(isCompletion ? 'BOT_BROKE_OFF' : 'BOT_NONSENSE', new Error('The answer came to no end')))
  }

  async function complete (body: Body, signal: AbortSignal): Promise<Response> {
    try {
      return await client.chat.completions.create(adapted(body), { signal }).asResponse()
    } catch (error) {
      if (!(error instanceof OpenAI.APIError) || error.status === undefined) throw unreachable(words(error))
      const option = error.status < 500 && OPTIONS.find(name => error.message.includes(name) && !refused.has(`${body.model} ${name}`))
      if (!option) throw refusal(error.status, error.headers!, words(error))
      refused.add(`${body.model} ${option}`)
      return await complete(body, signal)
    }
  }

  function adapted ({ stream_options: streamOptions, max_tokens: maxTokens, ...body }: Body): Body {
    const knows = (option: string) => !refused.has(`${body.model} ${option}`)
    const limit = knows('max_tokens') ? { max_tokens: maxTokens } : { max_completion_tokens: maxTokens }
    return { ...body, ...limit, ...knows('stream_options') && { stream_options: streamOptions } }
  }
}

/** Not all servers say what an answer cost; OpenAI's newer models want `max_completion_tokens`, which others do not know. */
const OPTIONS = ['stream_options', 'max_tokens']

/** As it may come, from whoever says that it speaks like OpenAI. */
interface Chunk {
  choices: Array<{ delta?: { content?: unknown }, finish_reason?: unknown } | null>
  usage: { prompt_tokens?: unknown, completion_tokens?: unknown } | null
  error: unknown
}

/** Only content is text: neither a tool's call, which nobody asked for, nor what a model thinks. */
function said (choice: Chunk['choices'][number] | undefined, usage: Chunk['usage'] | undefined): Said {
  const text = choice?.delta?.content
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = usage ?? {}
  return {
    pieces: [
      ...typeof text === 'string' ? [{ text }] : [],
      ...Number.isInteger(promptTokens) && Number.isInteger(completionTokens) ? [{ usage: { promptTokens, completionTokens } as { promptTokens: number, completionTokens: number } }] : []
    ],
    isLast: Boolean(choice?.finish_reason)
  }
}

/** The library as little more than a form: it reads no environment, logs nothing, retries nothing, and follows nobody. */
function createClient (key: string, address: string, dispatcher: Agent) {
  const url = new URL(address)
  const defaultQuery = Object.fromEntries(url.searchParams)
  url.search = ''
  return new OpenAI({
    apiKey: key,
    baseURL: url.href.replace(/\/$/, ''),
    defaultQuery,
    // Azure's older addresses, which have a version in their query, take the key in a header of their own.
    defaultHeaders: 'api-version' in defaultQuery ? { 'api-key': key } : {},
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    logLevel: 'off',
    maxRetries: 0,
    timeout: 2 ** 31 - 1,
    async fetch (input, init) {
      const answer = await post(input as string, { ...init as Pick<Posted, 'headers' | 'body' | 'signal'>, dispatcher })
      return { ...answer, text: async () => await answer.body.text() } as unknown as Response
    }
  })
}

/** What went wrong in the provider's words, for the log: no more than a page, and without the key, which some repeat. */
function wordsOf (error: unknown, key: string) {
  const said: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) said.push([at.message, (at as NodeJS.ErrnoException).code].join(' '))
  return new Error(said.join(': ').replaceAll(key, '…').slice(0, 1000))
}

const notConfigured: StreamingBot = async function * notConfigured () {
  throw failure('BOT_NOT_CONFIGURED', new Error('OPENAI_API_KEY is not set'))
}
