import type { ReplyPiece } from './bot.ts'
import { sourceOf } from '../text/message-parts.ts'
import { fieldsOf, type Reader, type ReadPieces } from './event-stream.ts'
import type { ThoughtFilter } from './thoughts.ts'

// Reads chat completions, streamed or whole, in all the variants that OpenAI-compatible servers send.

/** An error inside an answer with a successful status. `isLate`: it came after some text. `hasThought`: it came after some reasoning. */
export interface ReportedError { body: unknown, isLate: boolean, hasThought: boolean }

interface Says {
  thoughts: ThoughtFilter
  /** Called once, with the first event of a completion. */
  begins: () => void
  /** Makes the error for one that the provider reported. */
  reported: (error: ReportedError) => Error
  /** Makes the error for an answer of which a content filter let no text through. `isLate`: the model had sent reasoning before. */
  filtered: (isLate: boolean) => Error
  /** Makes the error for an answer that cannot be used, from what is wrong and the beginning of the answer. */
  unusable: (code: 'BOT_BROKE_OFF' | 'BOT_NONSENSE', what: string, head: string) => Error
}

/** Reads one answer, event by event; an answer that was not streamed is a single event. */
export function createCompletionReader ({ thoughts, begins, reported, filtered, unusable }: Says): Reader<ReplyPiece> {
  let isCompletion = false
  let hasWords = false
  let hasEnded = false
  let hasText = false
  let hasThought = false
  let finish = ''
  let isFiltered = false
  let index: number | undefined
  const cited = new Set<string>()

  /** The first of several answers to one request, whose pieces may come in turns with those of the others. */
  function choiceIn (choices: unknown): Fields {
    if (!Array.isArray(choices)) return {}
    const indexOf = (choice: unknown) => Number(fieldsOf(choice)['index'] ?? 0)
    const answers = choices.filter(choice => choice !== null)
    if (answers.length > 0) index ??= Math.min(...answers.map(indexOf))
    return fieldsOf(answers.find(choice => indexOf(choice) === index))
  }

  function read (event: unknown, name?: string): ReadPieces {
    if (Array.isArray(event) && event.length > 0 && errorIn(event, name) === undefined) {
      const all = event.map(each => read(each, name))
      return { pieces: all.flatMap(({ pieces }) => pieces), hasWords: all.some(({ hasWords }) => hasWords), isLast: all.some(({ isLast }) => isLast) }
    }
    const error = errorIn(event, name)
    if (error !== undefined) {
      const isLate = hasText || thoughts.holdsText()
      const failed = reported({ body: error, isLate, hasThought })
      if (!isLate && !hasThought) throw failed
      return { pieces: costsIn(fieldsOf(event)), error: failed }
    }
    const { choices, ...about } = completionIn(event)
    if (!isCompletion && Array.isArray(choices)) begins()
    isCompletion ||= Array.isArray(choices)
    const choice = choiceIn(choices)
    const { text, reasoning } = saidIn(choice)
    const pieces: ReplyPiece[] = []
    if (reasoning !== '') {
      thoughts.sendsApart()
      pieces.push({ reasoning })
    }
    if (text !== '') {
      hasEnded = false // also if an earlier event was marked as the last one
      pieces.push(...thoughts.take(text))
    }
    pieces.push(...citationsIn(choice))
    const reason = choice['finish_reason'] ?? choice['finishReason']
    const isLast = typeof reason === 'string' && !['', 'null'].includes(reason)
    hasWords ||= text + reasoning !== ''
    if (isLast) finish = reason
    // Open WebUI and others send a finish_reason in the first event, too, before the model has said anything.
    if (isLast && hasWords) pieces.push(...endOfThoughts())
    hasText ||= pieces.some(piece => 'text' in piece && piece.text.trim() !== '')
    hasThought ||= pieces.some(piece => 'reasoning' in piece && piece.reasoning !== '')
    pieces.push(...costsIn(about, choice))
    isFiltered ||= isLast && FILTERED.test(finish)
    const isUnfinished = fieldsOf(event)['done'] === false
    const isPart = isUnfinished || 'delta' in choice || about['object'] === 'chat.completion.chunk'
    return { pieces, hasWords: text + reasoning !== '', isLast: isLast || name === 'done', isInDoubt: !hasWords && !isFiltered, isPart, isUnfinished }
  }

  function endOfThoughts () {
    hasEnded = true
    return thoughts.end(CUT.test(finish) || FILTERED.test(finish))
  }

  /** The web pages that a choice cites, each once. */
  function citationsIn (choice: Fields): ReplyPiece[] {
    const annotations = [choice['delta'], choice['message']].flatMap(said => fieldsOf(said)['annotations'] ?? [])
    return annotations.flatMap(annotation => {
      const { url, title } = fieldsOf(fieldsOf(annotation)['url_citation'] ?? annotation)
      const part = sourceOf(url, title)
      if (part === undefined || cited.has(part.url)) return []
      cited.add(part.url)
      return [{ part, isSaid: true }]
    })
  }

  return {
    read,

    end (isOver, head) {
      if (isFiltered && !hasText) throw filtered(hasThought)
      if (!isCompletion) throw unusable('BOT_NONSENSE', 'The answer is not a chat completion', head)
      if (!isOver) throw unusable('BOT_BROKE_OFF', 'The answer ended without a finish_reason or [DONE]', '')
      return hasEnded ? [] : endOfThoughts()
    },

    unreadable: text => unusable('BOT_NONSENSE', 'The answer is not JSON', text),

    rest: () => thoughts.end(true)
  }
}

const CUT = /length|max_?(output_?)?tokens/i
/** How providers say that they could not finish the answer; DeepSeek with `insufficient_system_resource`. */
const BROKEN = /^(error|abort(ed)?|cancell?ed|insufficient_system_resource|[a-z]+_error)$/i
const FILTERED = /content_?filter|safety|blocklist|prohibited|recitation|sensitive|guardrail|violation|toxic|spii|refus|moderat/i

type Fields = Record<string, unknown>

/** The fields of a completion. A message of Ollama's own API is converted to one. */
function completionIn (event: unknown): Fields {
  const fields = fieldsOf(event)
  const { choices, message, done, done_reason: reason, prompt_eval_count: promptTokens, eval_count: tokens } = fields
  if (choices !== undefined || typeof done !== 'boolean') return fields
  const choice = { message, finish_reason: done ? reason ?? 'stop' : null }
  return { choices: [choice], usage: { prompt_tokens: promptTokens, completion_tokens: tokens } }
}

/** The text and the reasoning in a choice, of a chunk or of a whole answer. */
function saidIn (choice: Fields) {
  const delta = fieldsOf(choice['delta'])
  const message = fieldsOf(choice['message'])
  // A few servers send the whole message so far beside each `delta`. Then the delta is the new piece.
  const from = ['content', 'reasoning_content', 'reasoning', 'refusal'].some(field => ['string', 'number'].includes(typeof delta[field]) || Array.isArray(delta[field])) ? delta : message
  const { text, reasoning } = partsIn(from['content'] ?? choice['text'])
  const refusal = typeof from['refusal'] === 'string' ? from['refusal'] : ''
  const apart = [from['reasoning_content'], from['reasoning'], from['thinking']].find(each => typeof each === 'string' && each !== '')
  const said = { text: text + refusal, reasoning: reasoning + String(apart ?? '') }
  // Gemini marks a piece of content as a thought.
  const isThought = fieldsOf(fieldsOf(from['extra_content'])['google'])['thought'] === true
  return isThought ? { text: '', reasoning: said.reasoning + said.text } : said
}

/** Content is a string or a list of parts, some of which are reasoning. */
function partsIn (content: unknown): { text: string, reasoning: string } {
  if (typeof content === 'string' || typeof content === 'number') return { text: String(content), reasoning: '' }
  const said = { text: '', reasoning: '' }
  for (const part of Array.isArray(content) ? content : [content]) {
    const { type = 'text', ...fields } = typeof part === 'string' ? { text: part } as Fields : fieldsOf(part)
    const isThought = /think|reason/.test(String(type))
    const text = textIn(fields['text'] ?? fields['refusal'] ?? (isThought ? fields['thinking'] ?? fields['reasoning'] : undefined))
    if (isThought) said.reasoning += text
    else if (['text', 'output_text', 'refusal'].includes(String(type))) said.text += text
  }
  return said
}

function textIn (value: unknown): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(each => partsIn([each]).text).join('')
  const { value: inner } = fieldsOf(value)
  return typeof inner === 'string' ? inner : ''
}

/** The usage that an event reports, as a list of at most one piece. */
function costsIn (about: Fields, choice: Fields = {}): ReplyPiece[] {
  const cost = [about['usage'], choice['usage'], fieldsOf(about['x_groq'])['usage']].map(costIn).find(each => each !== undefined)
  return cost === undefined ? [] : [cost]
}

/**
 * The reported usage, under any of the names that servers use. A usage of 0 tokens counts as none, because the prompt had some.
 * Some leave the reasoning out of the tokens of the answer, but not out of the total. @see https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/grok/capabilities/reasoning
 */
function costIn (usage: unknown): ReplyPiece | undefined {
  const fields = fieldsOf(usage)
  const tokens = (...names: string[]) => {
    const value = names.map(name => fields[name]).find(value => value !== undefined && value !== null)
    return Number(typeof value === 'string' || typeof value === 'number' ? value : NaN)
  }
  const promptTokens = tokens('prompt_tokens', 'input_tokens')
  const [said, rest] = [tokens('completion_tokens', 'output_tokens'), tokens('total_tokens') - promptTokens]
  const completionTokens = rest > said || Number.isNaN(said) ? rest : said
  const isSaid = [promptTokens, completionTokens].every(number => Number.isInteger(number) && number >= 0) && promptTokens + completionTokens > 0
  return isSaid ? { usage: { promptTokens, completionTokens } } : undefined
}

/** The error that an event reports, in any of the shapes that servers use; undefined if it reports none. An empty error counts as none. */
function errorIn (event: unknown, name = ''): unknown {
  if (Array.isArray(event)) return event.map(each => errorIn(each, name)).find(error => error !== undefined)
  if (typeof event !== 'object' || event === null) return name === 'error' && !isEmpty(event) ? event : undefined
  const { error, errors, choices, object, type, detail, message, code, done } = event as Fields
  if (!isEmpty(error)) return event
  // Some servers report an error beside an empty list of choices.
  const { status_code: status } = fieldsOf((event as Fields)['base_resp'])
  const { blockReason } = fieldsOf((event as Fields)['promptFeedback'])
  if (!isEmpty(blockReason)) return { code: 'content_filter', message: blockReason }
  if (!isEmpty(status)) return event
  const choice = fieldsOf(Array.isArray(choices) ? choices[0] : undefined)
  if (!isEmpty(choice['error'])) return choice
  if (BROKEN.test(String(choice['finish_reason'] ?? choice['finishReason'] ?? ''))) return { ...event, code: 502 }
  if (Array.isArray(choices) || typeof done === 'boolean') return undefined
  const isError = object === 'error' || type === 'error' || (name === 'error' && !isEmpty(event)) || !isEmpty(errors) || !isEmpty(detail) || Object.entries(event).some(([field, value]) => ERROR_FIELD.test(field) && !isEmpty(value)) || (!isEmpty(message) && !isEmpty(code))
  return isError ? event : undefined
}

const ERROR_FIELD = /^err(or)?_?(code|msg|message)$/i

function isEmpty (value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).every(isEmpty)
  return value === undefined || value === null || value === false || value === '' || value === 0 || value === '0'
}

/**
 * The HTTP status that a reported error stands for, or 0. Some servers send it in `code`, some in `status`. Others send only a word
 * for it: TGI in `error_type`, MiniMax in a message. @see https://platform.minimax.io/docs/api-reference/errorcode
 */
export function statusIn (error: unknown): number {
  const { error: inner, code, status, status_code: statusCode, type, error_type: errorType, base_resp: base } = fieldsOf(error)
  const own = [code, status, statusCode].map(Number).find(number => number >= 400 && number < 600)
  if (own !== undefined) return own
  const words = [code, status, type, errorType, fieldsOf(base)['status_msg']].join(' ')
  if (typeof inner === 'object' && inner !== null) return statusIn(inner)
  if (/rate[_ ]?limit|overloaded|quota|RESOURCE_EXHAUSTED|throttl/i.test(words)) return 429
  if (/server_error|internal|unavailable|bad_gateway|timeout/i.test(words)) return 502
  return /invalid|validation|not_found|bad_request|unsupported|authentication|permission/i.test(words) ? 400 : 0
}
