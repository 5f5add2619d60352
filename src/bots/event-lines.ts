import { failure } from './bot.ts'

/** An event of a stream, or (`isWhole`) all of an answer that is none, parsed. */
export interface Event { data: unknown, name: string, isWhole: boolean }

/** No event is longer, in UTF-16 units. */
export const MAX_EVENT_LENGTH = 1024 * 1024

export const isEnd = (data: unknown) => typeof data === 'string' && /^\s*"?\[DONE\]"?\s*$/i.test(data)

/**
 * The events in the chunks of text, whatever cuts them. Comments, and events whose data is empty, are none. Beyond the
 * standard: `[DONE]` needs no end of its line, events need no empty line between them if each is one JSON text, `error:` in
 * place of `data:` is an event of that name, and so is JSON that stands there without either.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function createEventReader () {
  const linesIn = createLineReader()
  let data: string[] = []
  let name = ''
  let length = 0
  let isBare = false

  function * finished (): Generator<Event> {
    const whole = data.join('\n')
    if (whole.trim() !== '') yield { data: whole, name, isWhole: false }
    data = []
    name = ''
    length = 0
    isBare = false
  }

  function * take (value: string): Generator<Event> {
    if (data.length > 0 && (isEnd(value) || isJson(data.join('\n')))) yield * finished()
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

/** Lines end in CR, LF or both, which a chunk may tear apart. The last one, and the event in it, ends with the stream. */
export function createLineReader () {
  let begun: string[] = [] // joined only when the line ends: it may come one byte at a time
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

  /** The line that has not ended yet. */
  linesIn.begun = () => begun.join('')
  return linesIn
}
