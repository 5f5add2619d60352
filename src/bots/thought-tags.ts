/** The pairs of tags that models put around their reasoning, in lower case. */
export const TAGS: Array<[open: string, close: string]> = [
  ...['think', 'thinking', 'thought', 'thoughts', 'reason', 'reasoning', 'analysis', 'scratchpad', 'seed:think', 'mm:think', 'longcat_think'].map((tag): [string, string] => [`<${tag}>`, `</${tag}>`]),
  ['[think]', '[/think]'],
  ['◁think▷', '◁/think▷'],
  ['<|begin_of_thought|>', '<|end_of_thought|>'],
  ['<|channel|>analysis<|message|>', '<|channel|>final<|message|>'],
  ['<|start|>assistant<|channel|>analysis<|message|>', '<|channel|>final<|message|>'],
  ['<|channel>thought', '<channel|>'],
  ['<unused94>', '<unused95>']
]
const CLOSES = TAGS.map(([, close]) => close)

const escaped = (tag: string) => tag.replaceAll(/[[\]|/]/g, '\\$&')

/** Matches any closing tag, in any case. */
const CLOSE = new RegExp(CLOSES.map(escaped).join('|'), 'gi')

const EACH_CLOSE = new Map(CLOSES.map(tag => [tag, new RegExp(escaped(tag), 'i')]))

/** The index of a closing tag in any case; -1 for none. In lower case a text such as İ would be longer, so that the index would be wrong. */
export const indexOfClose = (text: string, tag: string) => text.search(EACH_CLOSE.get(tag)!)

/** The length of the longest tag, in UTF-16 units. */
export const MAX_TAG_LENGTH = Math.max(...TAGS.flat().map(({ length }) => length))

/** A closing tag in a text. `undecided`: it may stand in an example, which only the text after it can show. */
interface Tag { kind: 'tag' | 'undecided', at: number, length: number }

/** The index at which an incomplete closing tag may begin at the end of a text; the length of the text if there is none. */
export function tornAt (text: string): number {
  for (let at = Math.max(0, text.length - MAX_TAG_LENGTH); at < text.length; at++) {
    if (!'<[◁'.includes(text[at]!)) continue
    const rest = text.slice(at).toLowerCase()
    if (CLOSES.some(tag => tag.startsWith(rest))) return at
  }
  return text.length
}

/**
 * Makes a function that finds the first closing tag in a text that is not part of an example. It is called again when the text has
 * grown by `piece`, or has lost its beginning, which `drop` was told before; `hasEnded`: nothing follows. A reply can have thousands of
 * tags in examples and arrives in thousands of pieces, so nothing is searched twice, and while it waits for the end of an example,
 * only the new piece is looked at: to search the whole text for each piece would block the event loop for seconds.
 */
export function createTagSearch () {
  /** How much of the text was looked at, and what there is in it and before: code fences, backticks in the last line, and backticks at its end. */
  let looked = 0
  let fences = 0
  let ticks = 0
  let run = 0
  /** The last two characters before the text, and the last two of it. */
  let before = ''
  let edge = ''
  /** A tag that may stand in an example, and what must arrive to decide it. */
  let undecided: (Tag & { awaits: RegExp }) | undefined
  /** Where the last example that was searched for its end has it, since many tags can stand in one. */
  const ends = { fence: -1, line: -1 }

  function firstTag (text: string, piece: string, hasEnded: boolean): Tag | undefined {
    const news = edge + piece
    edge = news.slice(-2)
    if (undecided !== undefined && !hasEnded && !undecided.awaits.test(news)) return undecided
    undecided = undefined
    for (;;) {
      CLOSE.lastIndex = looked
      const found = CLOSE.exec(text)
      lookUntil(text, found?.index ?? text.length - MAX_TAG_LENGTH)
      if (found === null) return undefined
      const { 0: { length }, index: at } = found
      const kind = kindOf(text, at, at + length, hasEnded)
      if (kind === 'undecided') {
        undecided = { kind, at, length, awaits: fences % 2 === 1 ? /`{3}/ : ticks % 2 === 1 ? /[`\n]/ : /^/ }
        return undecided
      }
      if (kind === 'tag') return { kind, at, length }
      lookUntil(text, at + length)
    }
  }

  /** Call it before the first `length` characters of the text are removed, which have no tag. */
  firstTag.drop = (text: string, length: number) => {
    lookUntil(text, length)
    looked -= length
    before = (before + text.slice(Math.max(0, length - 2), length)).slice(-2)
    if (undecided !== undefined) undecided.at -= length
    ends.fence -= length
    ends.line -= length
  }

  return firstTag

  function lookUntil (text: string, end: number) {
    for (; looked < end; looked++) {
      const character = text[looked]
      run = character === '`' ? run + 1 : 0
      if (character === '`') ticks++
      if (character === '\n') ticks = 0
      if (run === 3) {
        fences++
        run = 0
      }
    }
  }

  /** An answer that explains such tags shows them in code or in quotation marks, which are closed after the tag. */
  function kindOf (text: string, begin: number, end: number, hasEnded: boolean): Tag['kind'] | 'example' {
    const inDoubt = hasEnded ? 'tag' : 'undecided'
    if (fences % 2 === 1) return endOf('fence', text, end) === -1 ? inDoubt : 'example'
    if (ticks % 2 === 1) {
      const at = endOf('line', text, end)
      return at === -1 ? inDoubt : text[at] === '`' ? 'example' : 'tag'
    }
    if (!/(^|[\s([{—–:,;=])["'“‘„«]$/.test((before + text.slice(Math.max(0, begin - 2), begin)).slice(-2))) return 'tag'
    return end === text.length ? inDoubt : /["'”’“»]/.test(text[end]!) ? 'example' : 'tag'
  }

  /** The index of the next code fence, or of the next backtick or newline; -1 for none. */
  function endOf (kind: keyof typeof ends, text: string, from: number) {
    if (ends[kind] < from) {
      const mark = kind === 'fence' ? /`{3}/g : /[`\n]/g
      mark.lastIndex = from
      ends[kind] = mark.exec(text)?.index ?? -1
    }
    return ends[kind]
  }
}
