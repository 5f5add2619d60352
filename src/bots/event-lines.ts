import { failure } from './bot.ts'

/** An event of a stream, or (`isWhole`) a whole answer, parsed. */
export interface Event { data: unknown, name: string, isWhole: boolean }

/** The longest event or line, in UTF-16 units. */
export const MAX_EVENT_LENGTH = 1024 * 1024

/** The longest line that ends a stream, such as `data: "[DONE]"`, in UTF-16 units. */
const MAX_END_LENGTH = 100

export const isEnd = (data: unknown) => typeof data === 'string' && /^\s*"?\[DONE\]"?\s*$/i.test(data)

/**
 * Parses server-sent events out of chunks of text, which may be cut anywhere. Comments and events without data are left out.
 * It accepts more than the standard does: `[DONE]` without the end of its line, events without an empty line between them if
 * each is one JSON text, `error:` in place of `data:` as an event of that name, and JSON without either in front.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function createEventReader () {
  const linesIn = createLineReader()
  let data: string[] = []
  let name = ''
  let length = 0
  let isBare = false
  let parsed = 0

  function * finished (): Generator<Event> {
    const whole = data.join('\n')
    if (whole.trim() !== '') yield { data: whole, name, isWhole: false }
    data = []
    name = ''
    length = 0
    isBare = false
    parsed = 0
  }

  /**
   * Whether the lines of the event so far are one JSON text. Gives up after it has parsed as much as the longest event has: an event
   * of 100,000 lines, parsed again after each line, would block the event loop for minutes.
   */
  function isWhole () {
    if (parsed > MAX_EVENT_LENGTH) return false
    const text = data.join('\n')
    parsed += text.length
    return isJson(text)
  }

  function * take (value: string): Generator<Event> {
    if (data.length > 0 && (isEnd(value) || isWhole())) yield * finished()
    data.push(value)
    if (isEnd(value)) yield * finished()
  }

  return function * eventsIn (text?: string): Generator<Event> {
    for (const line of linesIn(text)) {
      length += line.length
      if (length > MAX_EVENT_LENGTH) throw failure('BOT_NONSENSE', new Error('An event was too long'))
      isBare ||= /^[{[]/.test(line)
      const [, field, value] = /^(data|event|error):(?: (?=.)|)(.*)$/s.exec(line) ?? []
      if (line === '') yield * finished()
      else if (isBare) data.push(line)
      else if (field === 'event') name = value!.trim()
      else if (field !== undefined) {
        if (field === 'error') name = field
        yield * take(value!)
      }
    }
    if (text?.trimEnd().endsWith(']') && isEnd(linesIn.begun().replace(/^data:/, ''))) yield * take('[DONE]')
  }
}

function isJson (text: string) {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false // it goes on in the next line
  }
}

/** Splits chunks of text into lines, which end in CR, LF or CRLF, also where a chunk ends between the two. The end of the stream ends the last line and the event in it. */
export function createLineReader () {
  let begun: string[] = [] // joined only when the line ends, since it may arrive one byte at a time
  let length = 0
  let isAfterReturn = false

  function linesIn (text?: string): string[] {
    if (text === undefined) return [begun.join(''), '']
    const [rest, ...more] = text.slice(isAfterReturn && text.startsWith('\n') ? 1 : 0).split(/\r\n|\n|\r/)
    isAfterReturn = text.endsWith('\r')
    begun.push(rest!)
    length += rest!.length
    if (length > MAX_EVENT_LENGTH) throw failure('BOT_NONSENSE', new Error('A line was too long'))
    const next = more.pop()
    if (next === undefined) return []
    const line = begun.join('')
    begun = [next]
    length = next.length
    return [line, ...more]
  }

  /** The line that has not ended yet; an empty one if it is longer than the end of a stream, since to join it after each chunk would block the event loop. */
  linesIn.begun = () => length > MAX_END_LENGTH ? '' : begun.join('')
  return linesIn
}
