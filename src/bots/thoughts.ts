import { MAX_REPLY_LENGTH } from '../text/text.ts'
import type { ReplyPiece } from './bot.ts'
import { createTagSearch, indexOfClose, MAX_TAG_LENGTH, TAGS, tornAt } from './thought-tags.ts'

// Separates a model's reasoning ("thoughts") from its answer, where the provider sends both in one text. Each family of
// models marks its reasoning with its own pair of tags. Some chat templates put the opening tag into the prompt: then the
// answer begins inside the reasoning, and only the closing tag arrives.

/** Models that are known never to put their reasoning into the text of the answer. */
const PLAIN = /(^|\/)(gpt-\d|chatgpt|o\d|claude|gemini)/i

/** After this many answers in a row without reasoning, we stop assuming that the model's answers begin inside reasoning. */
const ANSWERS_UNTIL_FORGOTTEN = 20

/** After this many closing tags in one answer, we take the next ones for text: no model thinks so often. */
const MAX_THOUGHTS = 100

/** Held text is sent in at most this many pieces. JavaScript cannot pass on several 100,000 of them at once. */
const MAX_CUTS = 10_000

/** Remembers, for each model, whether its answers begin inside reasoning, without an opening tag. */
export type ModelMemory = ReturnType<typeof createMemory>

export function createMemory () {
  /** By model: for how many more answers we assume that they begin inside reasoning. */
  const learnt = new Map<string, number>()

  return {
    /** Whether the model's answers begin inside reasoning; undefined until one answer has ended. */
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
 * Separates the reasoning from the text of one answer, which arrives in pieces.
 *
 * - Normally text is passed on at once. Only characters that may be the beginning of a tag are held back.
 * - If the model's answers are known to begin inside reasoning, everything before the closing tag is passed on as reasoning,
 *   and held back: if the answer ends without a closing tag, it was text.
 * - If nothing is known about the model yet, its first answer is held back in the same way, until the closing tag or the
 *   end of the answer shows which of the two it is. Longer than the longest reply, it is taken for text.
 * - If a closing tag arrives although we assumed an ordinary answer, the text before it was reasoning: a piece with
 *   `replaces` takes it back, and the model is remembered.
 */
export function createThoughtFilter (model: string, memory: ModelMemory) {
  const known = memory.get(model)
  let assumes = known ?? !PLAIN.test(model)
  let state: 'start' | 'thought' | 'assumed' | 'text' = 'start'
  let close = ''
  /** Text in which no tag was found yet, and the newest piece of it. */
  let held = ''
  let newest = ''
  /** The white space at the beginning of the answer. */
  let blank = ''
  /** The text before `held`. In the state `text` it was passed on; in `assumed` it was passed on as reasoning, if the model is known. */
  let kept = ''
  /** In the state `assumed`: where each piece ends. If it turns out to be text, it is sent in the same pieces. */
  const cuts: number[] = []
  let firstTag = createTagSearch()
  let thoughts = 0
  let isAfterThought = false
  let isApart = false
  let beganInside = false

  const states = { start, thought, assumed, text }

  /** Takes the next piece of the answer. Returns what can be passed on now. */
  function take (piece: string): ReplyPiece[] {
    held += piece
    newest = piece
    const pieces: ReplyPiece[] = []
    if (state === 'assumed') cuts[Math.min(cuts.length, MAX_CUTS - 1)] = kept.length + held.length
    while (states[state](pieces)) { /* the next state continues with the rest */ }
    return pieces
  }

  // Each state returns true when it has entered another one, which then continues with the text that is left.

  /** The beginning of the answer, or what follows a closing tag: looks for an opening tag. */
  function start (pieces: ReplyPiece[]): boolean {
    if (thoughts === MAX_THOUGHTS) return enter('text')
    const rest = held.trimStart()
    blank += held.slice(0, held.length - rest.length)
    held = rest
    if (rest === '') return false
    const head = rest.slice(0, MAX_TAG_LENGTH).toLowerCase()
    const tag = TAGS.find(([open]) => head.startsWith(open))
    if (tag !== undefined) {
      close = tag[1]
      held = rest.slice(tag[0].length)
      return enter('thought')
    }
    const end = TAGS.map(([, close]) => close).find(tag => head.startsWith(tag))
    if (end !== undefined) {
      if (!isAfterThought) learnThought()
      held = rest.slice(end.length)
      return leave()
    }
    if (TAGS.flat().some(tag => tag.startsWith(head))) return false
    if (!isAfterThought) held = blank + rest
    if (!assumes) return enter('text')
    cuts.push(held.length)
    return enter('assumed')
  }

  function thought (pieces: ReplyPiece[]): boolean {
    const at = indexOfClose(held, close)
    const end = at === -1 ? Math.max(0, held.length - close.length + 1) : at
    if (end > 0) pieces.push({ reasoning: held.slice(0, end) })
    held = held.slice(at === -1 ? end : at + close.length)
    return at !== -1 && leave()
  }

  function assumed (pieces: ReplyPiece[], hasEnded = false): boolean {
    const isKnownByNow = known === undefined && memory.get(model) === false // another answer of this model has ended in the meantime
    const isTooLong = known === undefined && kept.length + held.length > MAX_REPLY_LENGTH
    if (isTooLong) memory.learn(model, false)
    if (isApart || isKnownByNow || isTooLong) {
      if (hasTold()) pieces.push({ reasoning: '', replaces: true })
      held = kept + held
      kept = ''
      firstTag = createTagSearch()
      return enter('text')
    }
    const tag = firstTag(held, newest, hasEnded)
    const passed = pass(tag?.at ?? tornAt(held))
    kept += passed
    // Nothing is known of an unknown model: an empty piece shows that it is at work.
    pieces.push({ reasoning: known === true ? passed : tag?.kind === 'tag' ? kept : '' })
    if (tag?.kind !== 'tag') return false
    held = held.slice(tag.length)
    learnThought()
    return leave()
  }

  function text (pieces: ReplyPiece[]): boolean {
    const tag = thoughts === MAX_THOUGHTS ? undefined : firstTag(held, newest, false)
    const passed = pass(tag?.at ?? tornAt(held))
    if (tag?.kind !== 'tag') {
      kept += passed
      // A tag in a block of code holds back the rest of the block. The empty piece keeps the reply from timing out meanwhile.
      pieces.push(passed === '' ? { reasoning: '' } : { text: passed })
      return false
    }
    if (kept !== '') pieces.push({ text: '', replaces: true })
    pieces.push({ reasoning: kept + passed })
    if (!isAfterThought) learnThought()
    held = held.slice(tag.length)
    return leave()
  }

  /** Takes text from the beginning of what is held, and remembers it for the search. */
  function pass (length: number) {
    const passed = held.slice(0, length)
    firstTag.drop(held, length)
    held = held.slice(length)
    return passed
  }

  /** Whether reasoning was passed on that may be text. */
  function hasTold () {
    return known === true && kept !== ''
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
    thoughts++
    kept = ''
    firstTag = createTagSearch()
    return enter('start')
  }

  return {
    take,

    /** Whether text is held back because it may be reasoning. */
    holdsText: () => state === 'assumed' && (kept + held).trim() !== '',

    /** Call it when the provider sends the reasoning in a field of its own: then the text contains none. */
    sendsApart () {
      assumes = false
      isApart = true
    },

    /** Call it when the answer has ended; `isCut`: before it was complete. Returns the held text that is no reasoning. */
    end (isCut: boolean): ReplyPiece[] {
      const pieces: ReplyPiece[] = []
      if (state === 'assumed' && assumed(pieces, true)) while (states[state](pieces)) { /* as above */ }
      const isThought = state === 'thought' || (state === 'assumed' && isCut && known === true)
      if (!isCut && !beganInside) memory.learn(model, false)
      if (isThought) pieces.push({ reasoning: held })
      else if (state === 'assumed' && hasTold()) pieces.push({ reasoning: '', replaces: true })
      const before = state === 'assumed' ? kept : state === 'start' && !isAfterThought ? blank : ''
      const text = isThought ? '' : before + held
      const ends = state === 'assumed' ? cuts : [text.length]
      held = ''
      state = 'text'
      pieces.push(...ends.map((end, nth) => ({ text: text.slice(ends[nth - 1] ?? 0, end) })))
      return pieces.filter(piece => 'reasoning' in piece ? piece.reasoning !== '' || piece.replaces : 'text' in piece && (piece.text !== '' || piece.replaces))
    }
  }
}
