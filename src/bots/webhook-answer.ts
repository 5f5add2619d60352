import { failure, type BotMemory, type ReplyPiece, type TokenUsage } from './bot.ts'
import type { ReadPieces } from './event-stream.ts'

/** How large a state may be, in bytes of its JSON, and how deep: Postgres refuses to parse what is nested too deeply. */
const MOST_STATE_BYTES = 64 * 1024
const MAX_STATE_DEPTH = 100

/** The answer of a webhook before it is checked. */
interface Answer { text?: unknown, parts?: unknown, state?: unknown, is_finished?: unknown, usage?: unknown }

/**
 * What a webhook's answer, or one event of its stream, says: `text`, or `parts` of which those of type `text` count,
 * `state`, `is_finished` and `usage`. Fields it does not know are ignored.
 * @throws BOT_NONSENSE for an answer that has none of these, and for a field of the wrong type
 */
export function readAnswer (answer: unknown): ReadPieces<ReplyPiece> {
  const fields = (typeof answer === 'object' && answer !== null ? answer : {}) as Answer
  const text = textOf(fields)
  const memory = memoryOf(fields)
  const usage = usageOf(fields.usage)
  const pieces: ReplyPiece[] = []
  if (text !== undefined) pieces.push({ text })
  if (memory !== undefined || usage !== undefined) pieces.push({ memory, usage })
  if (pieces.length === 0) throw nonsense('has no text')
  return { pieces }
}

/** Parts of other types are ignored; several of type `text` are joined as paragraphs. */
function textOf ({ text, parts }: Answer): string | undefined {
  if (text !== undefined) return mustBe(text, typeof text === 'string', 'text') as string
  if (parts === undefined) return undefined
  const texts = (mustBe(parts, Array.isArray(parts), 'parts') as unknown[]).flatMap(part => {
    const { type, text } = (part ?? {}) as { type?: unknown, text?: unknown }
    return type === 'text' && typeof text === 'string' ? [text] : []
  })
  return texts.length === 0 ? undefined : texts.join('\n\n')
}

function memoryOf ({ state, is_finished: isFinished }: Answer): BotMemory | undefined {
  if (state === undefined && isFinished === undefined) return undefined
  if (state !== undefined) mustBeStorable(state)
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
function mustBeStorable (state: unknown) {
  let level = [state]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_STATE_DEPTH) throw nonsense(`has a state that is nested more than ${MAX_STATE_DEPTH} levels deep`)
    for (const value of level) if (typeof value === 'string' && !isStorable(value)) throw nonsense('has a state that cannot be stored')
    level = level.flatMap(value => typeof value === 'object' && value !== null ? [...Object.keys(value), ...Object.values(value)] : [])
  }
  if (Buffer.byteLength(JSON.stringify(state)) > MOST_STATE_BYTES) throw nonsense('has a state that is larger than 64 KiB')
}

/** Postgres stores neither NUL characters nor lone surrogates. */
const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

function mustBe (value: unknown, isRight: boolean, name: string) {
  if (!isRight) throw nonsense(`has a ${name} of the wrong type`)
  return value
}

function nonsense (what: string) {
  return failure('BOT_NONSENSE', new Error(`The webhook's answer ${what}`))
}
