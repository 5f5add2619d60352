import { createJsonScanner } from '../text/json-scanner.ts'
import { failure } from './bot.ts'
import { createEventReader, createLineReader, MAX_EVENT_LENGTH, type Event } from './event-lines.ts'

// Finds out in which form a provider answers, and takes the chunks of the answer apart: server-sent events, one JSON text,
// or one JSON text a line.

/** The longest answer that is one JSON text, in UTF-16 units: room for 100,000 escaped characters and as much reasoning. */
const MAX_ANSWER_LENGTH = 8 * MAX_EVENT_LENGTH

/** How much of the beginning of an answer is kept for the log, in UTF-16 units. */
const HEAD_LENGTH = 1000

/**
 * `eventsIn` takes the chunks of an answer one after the other, and `undefined` at its end. It gives the events that each
 * chunk completes, or the parsed answer if that is one JSON text. When more follows after that, it was the first line of several.
 * `unreadable` makes the error for an answer that is not JSON.
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
  const scanner = createJsonScanner()

  /** Parses the whole answer when it is complete, or at its end. An attempt with each chunk would block the event loop, since it reads all of it again. */
  function * wholeIn (text: string | undefined): Generator<Event> {
    if (whole.length > MAX_ANSWER_LENGTH) throw failure('BOT_NONSENSE', new Error('The answer was too long'))
    if (scanner.isCrowded()) throw failure('BOT_NONSENSE', new Error('The answer has too many objects and lists'))
    if (!scanner.isComplete()) {
      if (text !== undefined) return
      throw unreadable(whole, new Error('The answer ends within a JSON text'))
    }
    yield { data: parsed(whole), name: '', isWhole: true }
    kind = 'lines'
    whole = ''
  }

  /** One JSON text a line. The first call reads everything that has arrived so far. */
  function * jsonLinesIn (text: string | undefined): Generator<Event> {
    for (const line of linesIn(whole === '' ? text : whole)) if (line.trim() !== '') yield { data: line, name: '', isWhole: false }
    whole = ''
  }

  /** Decides between one JSON text and one a line, which is possible once the second line has begun. */
  function kindWith (chunk: string) {
    // White space before the first line is not a line.
    const text = whole === '' ? chunk.trimStart() : chunk
    whole += text
    // Looks at the new text only: a search in the whole of it for each chunk would block the event loop.
    const begins = hasLine ? 0 : text.indexOf('\n')
    hasLine = begins !== -1
    if (isKnown || !hasLine) return 'whole'
    isKnown = text.slice(begins).trim() !== ''
    return isKnown && isComplete(whole.slice(0, whole.indexOf('\n'))) ? 'lines' : 'whole'
  }

  function parsed (text: string): unknown {
    try {
      return JSON.parse(text)
    } catch (error) {
      throw unreadable(text, error)
    }
  }

  return {
    head: () => head,

    eventsIn (chunk?: Uint8Array): Iterable<Event> {
      const text = chunk && decoder.decode(chunk, { stream: true })
      if (head.length < HEAD_LENGTH) head += (text ?? '').slice(0, HEAD_LENGTH)
      kind ??= kindOf(text ?? '')
      if (kind === 'whole') {
        scanner.take(chunk ?? Buffer.of())
        kind = kindWith(text ?? '')
      }
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

/** Whether a text is one JSON object or list. */
function isComplete (text: string) {
  const scanner = createJsonScanner()
  scanner.take(Buffer.from(text))
  return scanner.isComplete()
}
