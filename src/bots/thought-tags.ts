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

/** Matches any closing tag, in any case. */
export const CLOSE = new RegExp(CLOSES.map(tag => tag.replaceAll(/[[\]|/]/g, '\\$&')).join('|'), 'i')
const CLOSES_ALL = new RegExp(CLOSE, 'gi')

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
 * grown; `hasEnded`: nothing follows. It does not look twice at text before a tag: a reply can have thousands of tags in examples, and
 * arrives in thousands of pieces, so that to search all of it for each piece would block the event loop for seconds.
 */
export function createTagSearch () {
  /** How much of the text was looked at, and what there is in it: code fences, backticks in the last line, and backticks at its end. */
  let looked = 0
  let fences = 0
  let ticks = 0
  let run = 0

  return function firstTag (text: string, hasEnded: boolean): Tag | undefined {
    for (;;) {
      CLOSES_ALL.lastIndex = looked
      const found = CLOSES_ALL.exec(text)
      lookUntil(text, found?.index ?? text.length - MAX_TAG_LENGTH)
      if (found === null) return undefined
      const { 0: { length }, index: at } = found
      const kind = kindOf(text, at, at + length, hasEnded)
      if (kind !== 'example') return { kind, at, length }
      lookUntil(text, at + length)
    }
  }

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
    if (fences % 2 === 1) return text.includes('```', end) ? 'example' : hasEnded ? 'tag' : 'undecided'
    const newline = text.indexOf('\n', end)
    const line = text.slice(end, newline === -1 ? undefined : newline)
    const isLineWhole = hasEnded || newline !== -1
    if (ticks % 2 === 1) return line.includes('`') ? 'example' : isLineWhole ? 'tag' : 'undecided'
    if (!/(^|[\s([{—–:,;=])["'“‘„«]$/.test(text.slice(Math.max(0, begin - 2), begin))) return 'tag'
    return /^["'”’“»]/.test(line) ? 'example' : line !== '' || isLineWhole ? 'tag' : 'undecided'
  }
}
