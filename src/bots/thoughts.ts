import type { ProviderPiece } from './bot.ts'

// Models that think aloud mark it in their text, each family with tags of its own. Some templates write the opening tag
// into the prompt, so that only the closing one comes.

const TAGS: Array<[open: string, close: string]> = [
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
const BOTH = TAGS.flat()
const CLOSE = new RegExp(CLOSES.map(tag => tag.replaceAll(/[[\]|/]/g, '\\$&')).join('|'), 'i')
const CLOSES_ALL = new RegExp(CLOSE, 'gi')
const MAX_TAG_LENGTH = Math.max(...BOTH.map(({ length }) => length))

/** Names of models whose only provider, or whose makers' own servers, never write thoughts into the text. */
const PLAIN = /(^|\/)(gpt-\d|chatgpt|o\d|claude|gemini)/i

/** So many answers in a row without a thought, and a model is no longer taken to begin inside of one. */
const ANSWERS_UNTIL_FORGOTTEN = 20

/** What was learnt of models by their answers: whether they begin inside of a thought. */
export type ModelMemory = ReturnType<typeof createMemory>

export function createMemory () {
  /** For how many more answers a model is taken to begin inside of a thought. */
  const learnt = new Map<string, number>()

  return {
    /** Undefined where no answer has come to its end yet. */
    get (model: string): boolean | undefined {
      const left = learnt.get(model)
      return left === undefined ? undefined : left > 0
    },

    learn (model: string, began: boolean) {
      learnt.set(model, began ? ANSWERS_UNTIL_FORGOTTEN : Math.max(0, (learnt.get(model) ?? 0) - 1))
    }
  }
}

export type ThoughtFilter = ReturnType<typeof createThoughtFilter>

/**
 * Parts what a model says from what it thinks, where both come in one text. An ordinary answer passes at once: only
 * what may be a tag is held back. Of a model whose answers begin inside of a thought all is held back up to the closing
 * tag. Where that is not known yet, so is the first answer, up to the tag or to its end, since nothing else could tell.
 * A model that was known better takes back by the closing tag what was sent before it, and is known from then on.
 */
export function createThoughtFilter (model: string, memory: ModelMemory) {
  const known = memory.get(model)
  let assumes = known ?? !PLAIN.test(model)
  let state: 'start' | 'thought' | 'assumed' | 'text' = 'start'
  let close = ''
  /** What is not decided yet; of a thought that is only assumed, how much was told as a thought, and whether a tag is in it. */
  let held = ''
  let told = 0
  let hasTag = false
  /** The last piece, and the end of the text so far: long enough to find a tag that the last piece completes. */
  let latest = ''
  let window = ''
  /** Where the pieces end that are held in such a thought, so that they are sent as they came if it is none. */
  const cuts: number[] = []
  /** What was said, to tell whether a tag is part of an example. */
  let said = ''
  let isAfterThought = false
  let isApart = false
  let beganInside = false

  const states = { start, thought, assumed, text }

  /** Text that came; gives what may be sent of it. */
  function take (piece: string): ProviderPiece[] {
    held += piece
    latest = piece
    window = window.slice(-MAX_TAG_LENGTH) + piece
    const pieces: ProviderPiece[] = []
    if (state === 'assumed') cuts.push(held.length)
    while (states[state](pieces)) { /* the next state goes on with what is left */ }
    return pieces
  }

  /** Whether an opening tag is there, or may be on its way. */
  function start (pieces: ProviderPiece[]): boolean {
    const rest = held.trimStart()
    if (rest === '') return false
    const head = rest.slice(0, MAX_TAG_LENGTH).toLowerCase()
    const tag = TAGS.find(([open]) => head.startsWith(open))
    if (tag !== undefined) {
      close = tag[1]
      held = rest.slice(tag[0].length)
      return enter('thought')
    }
    const end = CLOSES.find(tag => head.startsWith(tag))
    if (end !== undefined) {
      if (!isAfterThought) learnThought()
      held = rest.slice(end.length)
      return leave()
    }
    if (BOTH.some(tag => tag.startsWith(head))) return false
    if (isAfterThought) held = rest
    if (!assumes) return enter('text')
    cuts.push(held.length)
    return enter('assumed')
  }

  function thought (pieces: ProviderPiece[]): boolean {
    const at = held.toLowerCase().indexOf(close)
    const end = at === -1 ? Math.max(0, held.length - close.length + 1) : at
    if (end > 0) pieces.push({ reasoning: held.slice(0, end) })
    held = held.slice(at === -1 ? end : at + close.length)
    return at !== -1 && leave()
  }

  function assumed (pieces: ProviderPiece[], hasEnded = false): boolean {
    const isKnownByNow = known === undefined && memory.get(model) === false // another answer has ended meanwhile
    if (isApart || isKnownByNow) return enter('text')
    // What is held is looked at only where there is a tag: it may be long, and grows by a word at a time.
    hasTag ||= CLOSE.test(window)
    const tag = hasTag ? tagIn('', held, hasEnded) : undefined
    pieces.push({ reasoning: tag === undefined ? latest : held.slice(told, tag.at) })
    told = tag?.at ?? held.length
    if (tag?.kind !== 'tag') return false
    held = held.slice(tag.at + tag.length)
    learnThought()
    return leave()
  }

  function text (pieces: ProviderPiece[]): boolean {
    const tag = CLOSE.test(held) ? tagIn(said, held, false) : undefined
    const end = tag?.at ?? tornAt(held)
    if (tag?.kind !== 'tag') {
      const sent = held.slice(0, end)
      held = held.slice(end)
      said += sent
      if (sent !== '') pieces.push({ text: sent })
      return false
    }
    if (said !== '') pieces.push({ text: '', replaces: true })
    pieces.push({ reasoning: held.slice(0, end) })
    if (!isAfterThought) learnThought()
    held = held.slice(end + tag.length)
    return leave()
  }

  function learnThought () {
    beganInside = true
    memory.learn(model, true)
  }

  function enter (next: typeof state): true {
    state = next
    return true
  }

  function leave (): true {
    assumes = false
    isAfterThought = true
    said = ''
    return enter('start')
  }

  return {
    take,

    /** Whether there is text that is held back because it may be a thought. */
    holdsText: () => state === 'assumed' && held.trim() !== '',

    /** The provider sends thoughts apart: the text is all text. */
    sendsApart () {
      assumes = false
      isApart = true
    },

    /** The answer has ended; `isCut`: before it was complete. Gives what was held back and is text after all. */
    end (isCut: boolean): ProviderPiece[] {
      const pieces: ProviderPiece[] = []
      latest = ''
      if (state === 'assumed' && assumed(pieces, true)) while (states[state](pieces)) { /* as above */ }
      const isThought = state === 'thought' || (state === 'assumed' && isCut && known === true)
      if (!isCut && !beganInside) memory.learn(model, false)
      const text = isThought ? '' : held
      const ends = state === 'assumed' ? cuts : [text.length]
      held = ''
      state = 'text'
      pieces.push(...ends.map((end, nth) => ({ text: text.slice(ends[nth - 1] ?? 0, end) })))
      return pieces.filter(piece => 'reasoning' in piece || ('text' in piece && (piece.text !== '' || piece.replaces)))
    }
  }
}

/** A closing tag in a text: one that ends a thought, or one of which what follows must tell. */
interface Tag { kind: 'tag' | 'undecided', at: number, length: number }

/** Where in a text a closing tag may have begun that is not complete yet; its length where none has. */
function tornAt (text: string): number {
  for (let at = Math.max(0, text.length - MAX_TAG_LENGTH); at < text.length; at++) {
    if (!'<[◁'.includes(text[at]!)) continue
    const rest = text.slice(at).toLowerCase()
    if (CLOSES.some(tag => tag.startsWith(rest))) return at
  }
  return text.length
}

/** The first closing tag in a text that is not part of an example; `before` is what was said before, `hasEnded`: nothing follows. */
function tagIn (before: string, text: string, hasEnded: boolean): Tag | undefined {
  for (const { 0: { length }, index: at } of text.matchAll(CLOSES_ALL)) {
    const kind = kindOf(before + text.slice(0, at), text.slice(at + length), hasEnded)
    if (kind !== 'example') return { kind, at, length }
  }
  return undefined
}

/** An answer that explains the tag has it in code or in quotes, which end after it. */
function kindOf (before: string, after: string, hasEnded: boolean): Tag['kind'] | 'example' {
  if (before.split('```').length % 2 === 0) return after.includes('```') ? 'example' : hasEnded ? 'tag' : 'undecided'
  const [line = '', ...more] = after.split('\n')
  const isLineWhole = hasEnded || more.length > 0
  if (before.slice(before.lastIndexOf('\n') + 1).split('`').length % 2 === 0) return line.includes('`') ? 'example' : isLineWhole ? 'tag' : 'undecided'
  if (!/(^|[\s([{—–:,;=])["'“‘„«]$/.test(before)) return 'tag'
  return /^["'”’“»]/.test(line) ? 'example' : line !== '' || isLineWhole ? 'tag' : 'undecided'
}
