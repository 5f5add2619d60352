import { createAnswerReader } from './answer-reader.ts'
import { failure, type ReplyPiece } from './bot.ts'
import { isEnd } from './event-lines.ts'
import { isFailure } from './refusal.ts'

type Bytes = AsyncIterable<Uint8Array>

/**
 * The content of one event. `hasWords`: it has text or reasoning. `isLast`: the provider says that no event after it has any.
 * `isInDoubt`: no event before it had any, either, so that it may not be the last one. `isPart`: it has the form of one of several events.
 * `isUnfinished`: the provider says that another one follows. `error` ends the reply after these pieces.
 */
export interface ReadPieces<P = ReplyPiece> { pieces: P[], error?: Error, hasWords?: boolean, isLast?: boolean, isInDoubt?: boolean, isPart?: boolean, isUnfinished?: boolean }

/** Turns a provider's events into pieces of a reply. An error that it throws ends the reply. */
export interface Reader<P = ReplyPiece> {
  /** Reads one parsed event. `name` is its name, if it has one. */
  read: (event: unknown, name?: string) => ReadPieces<P>
  /** Called after the last event. `isOver`: the provider announced the end. `head` is the beginning of the answer, for the log. */
  end?: (isOver: boolean, head: string) => P[]
  /** Makes the error for a text that should be JSON and is not. Left out: BOT_NONSENSE, with the parser's error, which repeats a part of the text. */
  unreadable?: (text: string) => Error
  /** Called when the answer breaks off. Returns the text that was held back. */
  rest?: () => P[]
}

/** How long we wait after the last piece of text, in milliseconds: the provider may still send the token usage. */
const USAGE_WAIT_MS = 2000

/** The same if text arrived after a piece that was marked as the last one, or none before it: longer than most pauses between two pieces. */
const DOUBTFUL_WAIT_MS = 20_000

/** How long we wait after `[DONE]` for the response to end, in milliseconds. If it does, the connection can be reused. */
const CLOSE_WAIT_MS = 100

/** The largest answer, after decompression. Reasoning is not cut anywhere else, and is kept until its tokens are counted. */
const MAX_ANSWER_MEBIBYTES = 128

/**
 * What is known about the end of an answer: nothing yet; that a piece was marked as the last one; that text arrived after such a
 * piece, so that the marks say nothing; that everything was read, or that we have waited long enough for more.
 */
type Ending = 'awaited' | 'announced' | 'doubtful' | 'over'

/**
 * Reads a provider's answer, which is an event stream, one JSON text, or one JSON text a line, and gives its pieces.
 * The reply ends with `[DONE]`, or a short time after its last piece. If the connection is still open then, `close` is
 * called; if it breaks then, that is no error, unless text arrived after the piece that was marked as the last one.
 * @throws BOT_BROKE_OFF, BOT_NONSENSE, and what the reader throws
 */
export async function * readPieces<P> (body: Bytes, { read, end, unreadable, rest }: Reader<P>, close: () => void): AsyncGenerator<P, void> {
  const unreadableOr = (text: string, error: unknown) => unreadable?.(text) ?? failure('BOT_NONSENSE', error)
  const reading = createAnswerReader(unreadableOr)
  let left = MAX_ANSWER_MEBIBYTES * 1024 * 1024
  let ending = 'awaited' as Ending
  /** Whether the newest event is one whole JSON text, which is all of the answer if the response ends now. */
  let isWholeAnswer = false
  let closing: NodeJS.Timeout | undefined
  const closeIn = (time: number) => {
    clearTimeout(closing)
    closing = setTimeout(() => {
      ending = 'over'
      close()
    }, time).unref()
  }
  try {
    // The generators inside are synchronous, because each further promise for each piece costs more than the parsing.
    for await (const chunk of body) {
      left -= chunk.length
      if (left < 0) throw failure('BOT_NONSENSE', new Error(`The answer is larger than ${MAX_ANSWER_MEBIBYTES} MiB`))
      if (ending !== 'over') for (const piece of piecesIn(chunk)) yield piece
    }
    if (ending !== 'over') for (const piece of piecesIn()) yield piece
    if (isWholeAnswer) ending = 'over'
  } catch (error) {
    if (ending === 'awaited' || ending === 'doubtful') {
      if (rest !== undefined) yield * rest()
      throw isFailure(error) ? error : failure('BOT_BROKE_OFF', error)
    }
  } finally {
    clearTimeout(closing)
  }
  if (ending === 'awaited' && rest !== undefined) yield * rest()
  if (end !== undefined) yield * end(ending !== 'awaited', reading.head())

  function * piecesIn (chunk?: Uint8Array) {
    for (const { data, name, isWhole } of reading.eventsIn(chunk)) {
      if (isEnd(data)) {
        ending = 'over'
        closeIn(CLOSE_WAIT_MS)
        return
      }
      const event = isWhole ? data : parseEvent(data as string, name, unreadableOr)
      if (event === undefined) continue
      const said = read(event, name)
      const isComplete = isWhole && said.isPart !== true
      const isLast = isComplete || said.isLast === true
      yield * said.pieces
      if (said.error !== undefined) throw said.error
      if (ending === 'awaited' && isLast) {
        ending = 'announced'
        closeIn(isComplete ? CLOSE_WAIT_MS : said.isInDoubt === true ? DOUBTFUL_WAIT_MS : USAGE_WAIT_MS)
      } else if (ending !== 'awaited' && said.hasWords === true) {
        if (ending === 'announced') ending = 'doubtful'
        closeIn(DOUBTFUL_WAIT_MS)
      }
      if (isComplete) ending = 'over'
      isWholeAnswer = isWhole && said.isUnfinished !== true
    }
  }
}

/** Parses the data of an event. Events with a name that we do not know, such as a keep-alive, need not be JSON and are skipped. */
function parseEvent (data: string, name: string, unreadableOr: (text: string, error: unknown) => Error): unknown {
  try {
    return JSON.parse(data)
  } catch (error) {
    if (name === 'error') return data
    if (['', 'message', 'completion', 'data'].includes(name)) throw unreadableOr(data, error)
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

/** The fields of a JSON value, which has none unless it is an object. */
export const fieldsOf = (value: unknown) => (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
