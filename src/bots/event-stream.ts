import { failure, type ProviderPiece } from './bot.ts'
import { createEventReader, createLineReader, isEnd, MAX_EVENT_LENGTH, type Event } from './event-lines.ts'
import { isFailure } from './refusal.ts'

type Bytes = AsyncIterable<Uint8Array>

/** What one event of a provider says; `isLast` when nothing of what follows can be text. */
export interface ReadPieces<P = ProviderPiece> { pieces: P[], isLast?: boolean }

/** Makes pieces of what a provider sends. What it throws ends the reply. */
export interface Reader<P = ProviderPiece> {
  /** Reads one event, parsed, and its name where it has one. */
  read: (event: unknown, name?: string) => ReadPieces<P>
  /** After the last event: `isOver` says whether the end was announced, `head` how the answer began. */
  end?: (isOver: boolean, head: string) => P[]
  /** What was held back, when the answer breaks off. */
  rest?: () => P[]
}

/** After the last piece a provider may still say what the reply cost. In milliseconds. */
const USAGE_WAIT_MS = 2000

/** After `[DONE]` nothing more comes; a connection that ends within this time can be used again. In milliseconds. */
const CLOSE_WAIT_MS = 100

/**
 * The pieces that an event stream brings, or a whole JSON answer in place of one. The reply ends with `[DONE]`, and
 * some time after the last piece, even if the connection stays open or breaks: then `close` is called to let go of it.
 * @throws BOT_BROKE_OFF, BOT_NONSENSE, and what the reader throws
 */
export async function * readPieces<P> (body: Bytes, { read, end, rest }: Reader<P>, close: () => void): AsyncGenerator<P, void> {
  const reading = createAnswerReader()
  let isOver = false
  let isDone = false
  let closing: NodeJS.Timeout | undefined
  const closeIn = (time: number) => {
    clearTimeout(closing)
    closing = setTimeout(close, time).unref()
  }
  try {
    // Each layer of promises around each piece costs more than what it does.
    for await (const chunk of body) if (!isDone) for (const piece of piecesIn(chunk)) yield piece
    if (!isDone) for (const piece of piecesIn()) yield piece
  } catch (error) {
    if (!isOver) {
      if (rest !== undefined) yield * rest()
      throw isFailure(error) ? error : failure('BOT_BROKE_OFF', error)
    }
  } finally {
    clearTimeout(closing)
  }
  if (!isOver && rest !== undefined) yield * rest()
  if (end !== undefined) yield * end(isOver, reading.head())

  function * piecesIn (chunk?: Uint8Array) {
    for (const { data, name, isWhole } of reading.eventsIn(chunk)) {
      if (isEnd(data)) {
        isOver = isDone = true
        closeIn(CLOSE_WAIT_MS)
        return
      }
      const event = isWhole ? data : parseEvent(data as string, name)
      if (event === undefined) continue
      const said = read(event, name)
      const isLast = isWhole || said.isLast === true
      yield * said.pieces
      if (isLast && !isOver) closeIn(isWhole ? CLOSE_WAIT_MS : USAGE_WAIT_MS)
      isOver ||= isLast
      isDone ||= isWhole
    }
  }
}

/** An event may be of a kind that we do not know, such as a sign of life: then it may be anything. */
function parseEvent (data: string, name: string): unknown {
  try {
    return JSON.parse(data)
  } catch (error) {
    if (name === 'error') return data
    if (['', 'message', 'completion', 'data'].includes(name)) throw failure('BOT_NONSENSE', error)
    return undefined
  }
}

/** @throws BOT_NONSENSE */
export function parse (json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw failure('BOT_NONSENSE', error)
  }
}

/** No whole answer is longer, in UTF-16 units: 100,000 characters, escaped, and as much again that the model thought. */
const MAX_ANSWER_LENGTH = 8 * MAX_EVENT_LENGTH

/** How much of an answer is kept for the log, in UTF-16 units. */
const HEAD_LENGTH = 1000

/** How often it is looked whether a whole answer is complete although its connection stays open. */
const MAX_PARSE_ATTEMPTS = 20

/**
 * Reads the chunks of an answer in turn, and at last none, which ends it; gives the events that end in each, or the
 * parsed answer if it is one JSON text.
 */
function createAnswerReader () {
  const decoder = new TextDecoder()
  const eventsIn = createEventReader()
  const linesIn = createLineReader()
  let head = ''
  let kind: 'events' | 'whole' | 'lines' | undefined
  let whole = ''
  let hasLine = false
  let isKnown = false
  let looks = 0

  function * wholeIn (text: string | undefined): Generator<Event> {
    if (whole.length > MAX_ANSWER_LENGTH) throw failure('BOT_NONSENSE', new Error('The answer was too long'))
    if (text !== undefined && (!/[}\]]\s*$/.test(text) || ++looks > MAX_PARSE_ATTEMPTS)) return
    const parsed = parsedOr(whole, text === undefined)
    if (parsed !== undefined) yield { data: parsed, name: '', isWhole: true }
  }

  /** One JSON text a line; of the first call all that has come. */
  function * jsonLinesIn (text: string | undefined): Generator<Event> {
    for (const line of linesIn(whole === '' ? text : whole)) if (line.trim() !== '') yield { data: line, name: '', isWhole: false }
    whole = ''
  }

  /** Whether it is one JSON text or one in each line, which is known once the second line has begun. */
  function kindWith (text: string) {
    whole += text
    hasLine ||= text.includes('\n')
    if (isKnown || !hasLine) return 'whole'
    const end = whole.indexOf('\n')
    isKnown = whole.slice(end).trim() !== ''
    return isKnown && parsedOr(whole.slice(0, end), false) !== undefined ? 'lines' : 'whole'
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

/** Providers may send white space to keep a connection alive; it says nothing yet. */
function kindOf (text: string) {
  const first = /\S/.exec(text)?.[0]
  if (first === undefined) return undefined
  return first === '{' || first === '[' ? 'whole' : 'events'
}

/** What a JSON text says; undefined, unless it has ended, where it is none. @throws BOT_NONSENSE */
function parsedOr (text: string, hasEnded: boolean): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (hasEnded) throw failure('BOT_NONSENSE', error)
    return undefined
  }
}
