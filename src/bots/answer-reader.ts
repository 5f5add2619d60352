import { isCrowded } from '../text/crowded-json.ts'
import { failure } from './bot.ts'
import { createEventReader, createLineReader, MAX_EVENT_LENGTH, type Event } from './event-lines.ts'

// Finds out in which form a provider answers, and takes the chunks of the answer apart: server-sent events, one JSON text,
// or one JSON text a line.

/** The longest answer that is one JSON text, in UTF-16 units: room for 100,000 escaped characters and as much reasoning. */
const MAX_ANSWER_LENGTH = 8 * MAX_EVENT_LENGTH

/** How much of the beginning of an answer is kept for the log, in UTF-16 units. */
const HEAD_LENGTH = 1000

/** How often, and how much of it in UTF-16 units, we try to parse one JSON text before the connection has ended: each attempt parses all of it again. */
const MAX_PARSE_ATTEMPTS = 20
const MAX_PARSED_LENGTH = 2 * MAX_EVENT_LENGTH

/**
 * `eventsIn` takes the chunks of an answer one after the other, and `undefined` at its end. It gives the events that each
 * chunk completes, or the parsed answer if that is one JSON text. `unreadable` makes the error for one that is not JSON.
 */
export function createAnswerReader (unreadable: (text: string, error: unknown) => Error) {
  const decoder = new TextDecoder()
  const eventsIn = createEventReader()
  const linesIn = createLineReader()
  let head = ''
  let kind: 'events' | 'whole' | 'lines' | undefined
  let whole = ''
  let hasLine = false
  let isKnown = false
  let looks = 0
  let parsed = 0

  function * wholeIn (text: string | undefined): Generator<Event> {
    if (whole.length > MAX_ANSWER_LENGTH) throw failure('BOT_NONSENSE', new Error('The answer was too long'))
    if (text !== undefined && (!/[}\]]\s*$/.test(text) || ++looks > MAX_PARSE_ATTEMPTS || parsed > MAX_PARSED_LENGTH)) return
    parsed += whole.length
    const data = parsedOr(whole, text === undefined)
    if (data !== undefined) yield { data, name: '', isWhole: true }
  }

  /** One JSON text a line. The first call reads everything that has arrived so far. */
  function * jsonLinesIn (text: string | undefined): Generator<Event> {
    for (const line of linesIn(whole === '' ? text : whole)) if (line.trim() !== '') yield { data: line, name: '', isWhole: false }
    whole = ''
  }

  /** Decides between one JSON text and one a line, which is possible once the second line has begun. */
  function kindWith (text: string) {
    whole += text
    // Looks at the new text only: a search in the whole of it for each chunk would block the event loop.
    const begins = hasLine ? 0 : text.indexOf('\n')
    hasLine = begins !== -1
    if (isKnown || !hasLine) return 'whole'
    isKnown = text.slice(begins).trim() !== ''
    return isKnown && parsedOr(whole.slice(0, whole.indexOf('\n')), false) !== undefined ? 'lines' : 'whole'
  }

  /** Parses a JSON text; undefined when it is incomplete. @throws BOT_NONSENSE when it would take too long, the error of `unreadable` when it has ended and is not JSON */
  function parsedOr (text: string, hasEnded: boolean): unknown {
    if (isCrowded(Buffer.from(text))) throw failure('BOT_NONSENSE', new Error('The answer has too many objects and lists'))
    try {
      return JSON.parse(text)
    } catch (error) {
      if (hasEnded) throw unreadable(text, error)
      return undefined
    }
  }

  return {
    head: () => head,

    eventsIn (chunk?: Uint8Array): Iterable<Event> {
      const text = chunk && decoder.decode(chunk, { stream: true })
      if (head.length < HEAD_LENGTH) head += (text ?? '').slice(0, HEAD_LENGTH)
      kind ??= kindOf(text ?? '')
      if (kind === 'whole') kind = kindWith(text ?? '')
      if (kind === 'lines') return jsonLinesIn(text)
      return kind === 'whole' ? wholeIn(text) : eventsIn(text)
    }
  }
}

/** The form of an answer, by its first character. Undefined for white space, which some providers send to keep the connection alive. */
function kindOf (text: string) {
  const first = /\S/.exec(text)?.[0]
  if (first === undefined) return undefined
  return first === '{' || first === '[' ? 'whole' : 'events'
}
