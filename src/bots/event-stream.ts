import { failure, type Piece } from './bot.js'
import { isFailure } from './refusal.js'

type Bytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** What one event of a provider says; `isLast` when nothing of what follows can be text. */
export interface Said { pieces: Piece[], isLast?: boolean }

/**
 * The pieces that an event stream brings. What comes to grief after the end was announced has been said all the same.
 * @returns whether the end was announced, by an event or as `[DONE]`
 * @throws BOT_BROKE_OFF, BOT_NONSENSE
 */
export async function * readPieces (body: Bytes, read: (event: unknown) => Said): AsyncGenerator<Piece, boolean> {
  let isOver = false
  try {
    for await (const data of readEvents(body)) {
      const { pieces, isLast = false } = data === '[DONE]' ? { pieces: [], isLast: true } : read(parse(data))
      yield * pieces
      isOver ||= isLast
    }
  } catch (error) {
    if (!isOver) throw isFailure(error) ? error : failure('BOT_BROKE_OFF', error)
  }
  return isOver
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

/** The data of the events, whatever cuts them into chunks. @see https://html.spec.whatwg.org/multipage/server-sent-events.html */
async function * readEvents (body: Bytes) {
  let data: string[] = []
  let length = 0
  for await (const line of readLines(body)) {
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5))
    length += line.length
    if (length > LONGEST) throw failure('BOT_NONSENSE', new Error('An event was too long'))
    if (line !== '') continue
    if (data.length > 0) yield data.join('\n')
    data = []
    length = 0
  }
}

/** Lines end in CR, LF or both, which a chunk may tear apart. The last one, and the event in it, ends with the stream. */
async function * readLines (body: Bytes) {
  const decoder = new TextDecoder()
  let begun: string[] = [] // joined only when the line ends: it may come one byte at a time
  let length = 0
  let isAfterReturn = false
  for await (const chunk of body) {
    const text = decoder.decode(chunk, { stream: true })
    const [rest, ...more] = text.slice(isAfterReturn && text.startsWith('\n') ? 1 : 0).split(/\r\n|\n|\r/)
    isAfterReturn = text.endsWith('\r')
    begun.push(rest!)
    length += rest!.length
    if (length > LONGEST) throw failure('BOT_NONSENSE', new Error('A line was too long'))
    if (more.length === 0) continue
    yield begun.join('')
    begun = [more.pop()!]
    length = begun[0]!.length
    yield * more
  }
  yield begun.join('')
  yield ''
}
