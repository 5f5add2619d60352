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

/** The first closing tag in a text that is not part of an example. `before` is the text before it; `hasEnded`: nothing follows. */
export function tagIn (before: string, text: string, hasEnded: boolean): Tag | undefined {
  for (const { 0: { length }, index: at } of text.matchAll(CLOSES_ALL)) {
    const kind = kindOf(before + text.slice(0, at), text.slice(at + length), hasEnded)
    if (kind !== 'example') return { kind, at, length }
  }
  return undefined
}

/** An answer that explains such tags shows them in code or in quotation marks, which are closed after the tag. */
function kindOf (before: string, after: string, hasEnded: boolean): Tag['kind'] | 'example' {
  if (before.split('```').length % 2 === 0) return after.includes('```') ? 'example' : hasEnded ? 'tag' : 'undecided'
  const [line = '', ...more] = after.split('\n')
  const isLineWhole = hasEnded || more.length > 0
  if (before.slice(before.lastIndexOf('\n') + 1).split('`').length % 2 === 0) return line.includes('`') ? 'example' : isLineWhole ? 'tag' : 'undecided'
  if (!/(^|[\s([{—–:,;=])["'“‘„«]$/.test(before)) return 'tag'
  return /^["'”’“»]/.test(line) ? 'example' : line !== '' || isLineWhole ? 'tag' : 'undecided'
}
