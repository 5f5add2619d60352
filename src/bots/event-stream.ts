import { failure, type Piece } from './bot.js'
import { isFailure } from './refusal.js'

type Bytes = AsyncIterable<Uint8Array>

/** What one event of a provider says; `isLast` when nothing of what follows can be text. */
export interface Said { pieces: Piece[], isLast?: boolean }

/**
 * The pieces that an event stream brings. What comes to grief after the end was announced, by an event or as `[DONE]`,
 * has been said all the same.
 * @param mustEnd what is wrong when the end was not announced; left out where nobody announces it
 * @throws BOT_BROKE_OFF, BOT_NONSENSE, and what `mustEnd` says
 */
export async function * readPieces (body: Bytes, read: (event: unknown) => Said, mustEnd?: () => Error): AsyncGenerator<Piece, void> {
  const eventsIn = createEventReader()
  let isOver = false
  try {
    // Each layer of promises around each piece costs more than what it does.
    for await (const chunk of body) for (const piece of piecesIn(chunk)) yield piece
    for (const piece of piecesIn()) yield piece
  } catch (error) {
    if (!isOver) throw isFailure(error) ? error : failure('BOT_BROKE_OFF', error)
  }
  if (!isOver && mustEnd !== undefined) throw mustEnd()

  function * piecesIn (chunk?: Uint8Array) {
    for (const data of eventsIn(chunk)) {
      const { pieces, isLast = false } = data === '[DONE]' ? { pieces: [], isLast: true } : read(parse(data))
      yield * pieces
      isOver ||= isLast
    }
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

/** No event is longer, in UTF-16 units. */
const LONGEST = 1024 * 1024

/**
 * Reads the chunks of a stream in turn, and at last none, which ends it; gives the data of the events that end in each,
 * whatever cuts them into chunks. @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
function createEventReader () {
  const linesIn = createLineReader()
  let data: string[] = []
  let length = 0

  return function * eventsIn (chunk?: Uint8Array) {
    for (const line of linesIn(chunk)) {
      if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5))
      length += line.length
      if (length > LONGEST) throw failure('BOT_NONSENSE', new Error('An event was too long'))
      if (line !== '') continue
      if (data.length > 0) yield data.join('\n')
      data = []
      length = 0
    }
  }
}

/** Lines end in CR, LF or both, which a chunk may tear apart. The last one, and the event in it, ends with the stream. */
function createLineReader () {
  const decoder = new TextDecoder()
  let begun: string[] = [] // joined only when the line ends: it may come one byte at a time
  let length = 0
  let isAfterReturn = false

  return function linesIn (chunk?: Uint8Array): string[] {
    if (chunk === undefined) return [begun.join(''), '']
    const text = decoder.decode(chunk, { stream: true })
    const [rest, ...more] = text.slice(isAfterReturn && text.startsWith('\n') ? 1 : 0).split(/\r\n|\n|\r/)
    isAfterReturn = text.endsWith('\r')
    begun.push(rest!)
    length += rest!.length
    if (length > LONGEST) throw failure('BOT_NONSENSE', new Error('A line was too long'))
    const next = more.pop()
    if (next === undefined) return []
    const line = begun.join('')
    begun = [next]
    length = next.length
    return [line, ...more]
  }
}
