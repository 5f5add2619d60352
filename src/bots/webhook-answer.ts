import { failure, type BotMemory, type ReplyPiece, type TokenUsage } from './bot.ts'
import {
  isTextUpTo, MAX_CHOICE_ID_LENGTH, MAX_CHOICES, MAX_DATA_BYTES, MAX_DATA_NAME_LENGTH, MAX_TITLE_LENGTH, RESERVED_TYPES, sourceOf, type Addendum, type Choice, type Source
} from '../text/message-parts.ts'
import { isStorable } from '../text/text.ts'
import { fieldsOf, type ReadPieces } from './event-stream.ts'

/** How large a state may be, in bytes of its JSON, and how deep: Postgres refuses to parse what is nested too deeply. */
const MOST_STATE_BYTES = 64 * 1024
const MAX_STATE_DEPTH = 100

/** The answer of a webhook before it is checked. */
interface Answer { text?: unknown, parts?: unknown, state?: unknown, is_finished?: unknown, usage?: unknown }

/**
 * What a webhook's answer, or one event of its stream, says: `text` and `parts`, `state`, `is_finished` and `usage`. Fields
 * and types of parts that it does not know are ignored.
 * @throws BOT_NONSENSE for an answer that has none of these, and for a field or a part of the wrong type
 */
export function readAnswer (answer: unknown): ReadPieces<ReplyPiece> {
  const fields = fieldsOf(answer) as Answer
  const parts = fields.parts === undefined ? [] : mustBe(fields.parts, Array.isArray(fields.parts), 'parts') as unknown[]
  const text = textOf(fields.text, parts)
  const memory = memoryOf(fields)
  const usage = usageOf(fields.usage)
  const pieces: ReplyPiece[] = []
  for (const part of parts) {
    const { type, text } = fieldsOf(part)
    if (type === 'reasoning' && typeof text === 'string') pieces.push({ reasoning: text })
  }
  if (text !== undefined) pieces.push({ text })
  for (const part of parts) pieces.push(...addendaIn(part).map(part => ({ part, isSaid: fields.text !== undefined })))
  if (memory !== undefined || usage !== undefined) pieces.push({ memory, usage })
  if (pieces.length === 0) throw nonsense('has no text')
  return { pieces }
}

/** `text`, or what the parts of type `text` say, as paragraphs. */
function textOf (text: unknown, parts: unknown[]): string | undefined {
  if (text !== undefined) return mustBe(text, typeof text === 'string', 'text') as string
  const texts = parts.flatMap(part => {
    const { type, text } = fieldsOf(part)
    return type === 'text' ? [mustBe(text, typeof text === 'string', 'text of a part') as string] : []
  })
  return texts.length === 0 ? undefined : texts.join('\n\n')
}

/** A part that follows the text; none for a text and for a part of an unknown type. */
function addendaIn (part: unknown): Addendum[] {
  const { type, url, title, choices, name, data } = fieldsOf(part)
  if (type === 'source') return [mustBe(sourceOf(url, title), sourceOf(url, title) !== undefined, 'source') as Source]
  if (type === 'choices') {
    const isRight = Array.isArray(choices) && choices.length > 0 && choices.length <= MAX_CHOICES && choices.every(isChoice)
    return [{ type, choices: (mustBe(choices, isRight, 'choices') as Choice[]).map(({ id, title }) => ({ id, title })) }]
  }
  if (type === 'data') {
    mustBe(name, isTextUpTo(MAX_DATA_NAME_LENGTH, name), 'name of data')
    mustBe(data, data !== undefined, 'data')
    mustBeStorable(data, 'data', MAX_DATA_BYTES)
    return [{ type, name: name as string, data }]
  }
  if (RESERVED_TYPES.includes(type as string)) throw nonsense(`has a part of type ${type as string}, which does not exist yet`)
  return []
}

function isChoice (choice: unknown): choice is Choice {
  const { id, title } = fieldsOf(choice)
  return isTextUpTo(MAX_CHOICE_ID_LENGTH, id) && isTextUpTo(MAX_TITLE_LENGTH, title)
}

function memoryOf ({ state, is_finished: isFinished }: Answer): BotMemory | undefined {
  if (state === undefined && isFinished === undefined) return undefined
  if (state !== undefined) mustBeStorable(state, 'state', MOST_STATE_BYTES)
  if (isFinished !== undefined) mustBe(isFinished, typeof isFinished === 'boolean', 'is_finished')
  return {
    ...state !== undefined && { state },
    ...isFinished !== undefined && { isFinished: isFinished as boolean }
  }
}

/** Only what is complete counts: a bot that tells half of it tells nothing. */
function usageOf (usage: unknown): TokenUsage | undefined {
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens, model } = (usage ?? {}) as Record<string, unknown>
  if (!Number.isInteger(promptTokens) || !Number.isInteger(completionTokens)) return undefined
  return {
    promptTokens: promptTokens as number,
    completionTokens: completionTokens as number,
    model: typeof model === 'string' ? model : undefined
  }
}

/** A loop instead of recursion, so that deep nesting cannot overflow the stack. */
function mustBeStorable (value: unknown, name: string, mostBytes: number) {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_STATE_DEPTH) throw nonsense(`has a ${name} that is nested more than ${MAX_STATE_DEPTH} levels deep`)
    for (const value of level) {
      if (typeof value === 'string' && !isStorable(value)) throw nonsense(`has a ${name} that cannot be stored`)
      // JSON.parse makes Infinity of a number such as 1e999, which would be stored as null: that deletes a state.
      if (value === Infinity || value === -Infinity) throw nonsense(`has a ${name} with a number that is too large`)
    }
    level = level.flatMap(value => typeof value === 'object' && value !== null ? [...Object.keys(value), ...Object.values(value)] : [])
  }
  if (Buffer.byteLength(JSON.stringify(value)) > mostBytes) throw nonsense(`has a ${name} that is larger than ${mostBytes / 1024} KiB`)
}

function mustBe (value: unknown, isRight: boolean, name: string) {
  if (!isRight) throw nonsense(`has a ${name} of the wrong type`)
  return value
}

function nonsense (what: string) {
  return failure('BOT_NONSENSE', new Error(`The webhook's answer ${what}`))
}
