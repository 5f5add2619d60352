import type { Readable } from 'node:stream'
import { Type, type Static } from 'typebox'
import type { Turn } from '../../bots/bot.ts'
import { invalidRequest } from '../../http/faults.ts'
import { Nullable } from '../../http/schema.ts'
import { isBlank, isLongerThan, MAX_LONG_MESSAGE_LENGTH } from '../../text/text.ts'

/** How many messages of a history a bot gets at most. */
const MAX_TURNS = 2_000

/** How many messages a request may have after old turns were left out: MAX_TURNS turns, and up to 1,000 instructions from anywhere in the history. */
const MAX_MESSAGES = 3_000

/** The name of a bot, as a client sends it. */
export const ModelName = Type.String({ maxLength: 200 })

export const ModelSchema = Type.Object({
  id: Type.String(), object: Type.Enum(['model']), created: Type.Integer(), owned_by: Type.String()
}, { title: 'Model' })

export const ModelsSchema = Type.Object({ object: Type.Enum(['list']), data: Type.Array(ModelSchema) }, { title: 'Models' })

export const toModel = (id: string): Static<typeof ModelSchema> => ({ id, object: 'model', created: 0, owned_by: 'parley' })

/** Not checked any further: a body of 4 MiB may have many messages, and `readHistory` reads only what is needed. */
const SentMessage = Type.Unsafe<Record<string, unknown>>({ type: 'object' })

export const CompletionSchema = Type.Object({
  model: ModelName,
  messages: Type.Array(SentMessage, { minItems: 1, maxItems: MAX_MESSAGES }),
  stream: Type.Optional(Nullable(Type.Boolean())),
  stream_options: Type.Optional(Type.Unsafe<{ include_usage?: unknown } | null>({ type: ['object', 'null'] })),
  n: Type.Optional(Nullable(Type.Integer())),
  tools: Type.Optional(Nullable(Type.Array(Type.Unsafe<object>({ type: 'object' }), { maxItems: 1_000 })))
}, { title: 'NewCompletion' })

/** Described as no more than an object: OpenAI's documentation has its fields. */
export interface CompletionAnswer {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  choices: Array<{ index: number, message: { role: 'assistant', content: string, refusal: null }, logprobs: null, finish_reason: 'stop' }>
  usage: { prompt_tokens: number, completion_tokens: number, total_tokens: number }
}
const CompletionAnswerSchema = Type.Unsafe<CompletionAnswer>({ title: 'Completion', type: 'object', properties: { choices: { type: 'array', items: {} } }, additionalProperties: true })

export const AnswerOrStream = Type.Unsafe<CompletionAnswer | Readable>({
  description: 'The reply, or the stream',
  content: {
    'application/json': { schema: CompletionAnswerSchema },
    'text/event-stream': { schema: { type: 'string', examples: ['data: {"choices":[{"index":0,"delta":{"content":"Hello!"}}]}\n\n'] } }
  }
})

/**
 * Refuses what asks for an answer of another form than a bot's, which the client would misread.
 * @throws INVALID_REQUEST
 */
export function mustFitABot ({ n, tools }: Pick<Static<typeof CompletionSchema>, 'n' | 'tools'>): void {
  if (n !== undefined && n !== null && n !== 1) throw refusal('n', 'must be 1, because a bot gives one answer')
  if (tools?.length) throw refusal('tools', 'cannot be used, because bots do not call tools of clients')
}

/** Removes old messages that no bot would get, so that the validator does not walk through them. Instructions stay, wherever they are. */
export function withoutOldMessages (body: unknown): unknown {
  const { messages } = (body ?? {}) as { messages?: unknown }
  if (!Array.isArray(messages) || messages.length <= MAX_TURNS) return body
  const first = messages.length - MAX_TURNS
  return { ...body as object, messages: messages.filter((message: unknown, nth) => nth >= first || isInstruction(message)) }
}

function isInstruction (message: unknown) {
  const { role } = (message ?? {}) as { role?: unknown }
  return role === 'system' || role === 'developer'
}

/**
 * The history as a bot gets it, and what the client adds to the bot's prompt. `me` is the bot's name, `user` that of the user.
 * @throws INVALID_REQUEST
 */
export function readHistory (messages: Array<Record<string, unknown>>, me: string, user: string | null, longestText: number): { turns: Turn[], instructions: string } {
  const turns: Turn[] = []
  const instructions: string[] = []
  for (const [nth, message] of messages.entries()) {
    const { role, content, name } = message
    const path = `messages.${nth}`
    if (!isInstruction(message) && role !== 'user' && role !== 'assistant') throw refusal(`${path}.role`, 'must be one of system, developer, user, assistant')
    const text = role === 'assistant' && (content === null || content === undefined) ? '' : textIn(content, `${path}.content`)
    if (isBlank(text)) continue
    if (role === 'user') turns.push({ sender: 'user', name: typeof name === 'string' && !isBlank(name) ? name : user, text })
    else if (role === 'assistant') turns.push({ sender: 'bot', name: me, text })
    else instructions.push(text)
  }
  const question = turns.findLast(({ sender }) => sender === 'user')
  if (question === undefined) throw refusal('messages', 'needs a message of a user')
  if (isLongerThan(longestText, question.text)) throw refusal('messages', `may have at most ${format(longestText)} characters in the last message of a user`)
  const joined = instructions.join('\n\n')
  if (isLongerThan(MAX_LONG_MESSAGE_LENGTH, joined)) throw refusal('messages', `may have at most ${format(MAX_LONG_MESSAGE_LENGTH)} characters in all messages of the roles system and developer`)
  return { turns, instructions: joined }
}

function textIn (content: unknown, path: string): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw refusal(path, 'must be a string or a list of parts')
  const texts = content.map((part: unknown) => {
    const { type, ...said } = (part ?? {}) as { type?: unknown, text?: unknown, refusal?: unknown }
    // A model's refusal is what it said.
    const text = type === 'text' ? said.text : type === 'refusal' ? said.refusal : undefined
    if (typeof text !== 'string') throw refusal(path, 'has a part that is not text, and only text can be sent yet')
    return text
  })
  return texts.join('\n')
}

const format = (count: number) => count.toLocaleString('en-US')

const refusal = (path: string, message: string) => invalidRequest([{ path, message }])
