import type { ReplyPiece } from './bot.ts'
import { CLOSE, createTagSearch, MAX_TAG_LENGTH, TAGS, tornAt } from './thought-tags.ts'

// Separates a model's reasoning ("thoughts") from its answer, where the provider sends both in one text. Each family of
// models marks its reasoning with its own pair of tags. Some chat templates put the opening tag into the prompt: then the
// answer begins inside the reasoning, and only the closing tag arrives.

/** Models that are known never to put their reasoning into the text of the answer. */
const PLAIN = /(^|\/)(gpt-\d|chatgpt|o\d|claude|gemini)/i

/** After this many answers in a row without reasoning, we stop assuming that the model's answers begin inside reasoning. */
const ANSWERS_UNTIL_FORGOTTEN = 20

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
 *   end of the answer shows which of the two it is.
 * - If a closing tag arrives although we assumed an ordinary answer, the text before it was reasoning: a piece with
 *   `replaces` takes it back, and the model is remembered.
 */
export function createThoughtFilter (model: string, memory: ModelMemory) {
  const known = memory.get(model)
  let assumes = known ?? !PLAIN.test(model)
  let state: 'start' | 'thought' | 'assumed' | 'text' = 'start'
  let close = ''
  /** Text that is held back. In the state `assumed`: how much of it was already passed on as reasoning. */
  let held = ''
  let told = 0
  /** In the state `assumed`: where each held piece ends. If it turns out to be text, it is sent in the same pieces. */
  const cuts: number[] = []
  /** The text that was passed on, to see whether a tag stands in an example, such as a code block. */
  let said = ''
  /** Searches `said` and `held` together. */
  let firstTag = createTagSearch()
  let isAfterThought = false
  let isApart = false
  let beganInside = false

  const states = { start, thought, assumed, text }

  /** Takes the next piece of the answer. Returns what can be passed on now. */
  function take (piece: string): ReplyPiece[] {
    held += piece
    const pieces: ReplyPiece[] = []
    if (state === 'assumed') cuts.push(held.length)
    while (states[state](pieces)) { /* the next state continues with the rest */ }
    return pieces
  }

  // Each state returns true when it has entered another one, which then continues with the text that is left.

  /** The beginning of the answer, or what follows a closing tag: looks for an opening tag. */
  function start (pieces: ReplyPiece[]): boolean {
    const rest = held.trimStart()
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
    if (isAfterThought) held = rest
    if (!assumes) return enter('text')
    cuts.push(held.length)
    return enter('assumed')
  }

  function thought (pieces: ReplyPiece[]): boolean {
    const at = held.toLowerCase().indexOf(close)
    const end = at === -1 ? Math.max(0, held.length - close.length + 1) : at
    if (end > 0) pieces.push({ reasoning: held.slice(0, end) })
    held = held.slice(at === -1 ? end : at + close.length)
    return at !== -1 && leave()
  }

  function assumed (pieces: ReplyPiece[], hasEnded = false): boolean {
    const isKnownByNow = known === undefined && memory.get(model) === false // another answer of this model has ended in the meantime
    if (isApart || isKnownByNow) {
      if (told > 0) pieces.push({ reasoning: '', replaces: true })
      return enter('text')
    }
    const tag = firstTag(held, hasEnded)
    // Nothing is known of an unknown model: an empty piece shows that it is at work.
    const end = tag?.kind === 'tag' || (known === true && tag !== undefined) ? tag.at : known === true ? tornAt(held) : told
    pieces.push({ reasoning: held.slice(told, end) })
    told = Math.max(told, end)
    if (tag?.kind !== 'tag') return false
    held = held.slice(tag.at + tag.length)
    learnThought()
    return leave()
  }

  function text (pieces: ReplyPiece[]): boolean {
    const tag = CLOSE.test(held) ? firstTag(said + held, false) : undefined
    const end = tag === undefined ? tornAt(held) : tag.at - said.length
    if (tag?.kind !== 'tag') {
      const sent = held.slice(0, end)
      held = held.slice(end)
      said += sent
      if (sent !== '') pieces.push({ text: sent })
      return false
    }
    if (said !== '') pieces.push({ text: '', replaces: true })
    pieces.push({ reasoning: said + held.slice(0, end) })
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
    firstTag = createTagSearch()
    return enter('start')
  }

  return {
    take,

    /** Whether text is held back because it may be reasoning. */
    holdsText: () => state === 'assumed' && held.trim() !== '',

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
      if (isThought) pieces.push({ reasoning: held.slice(state === 'assumed' ? told : 0) })
      else if (state === 'assumed' && told > 0) pieces.push({ reasoning: '', replaces: true })
      const text = isThought ? '' : held
      const ends = state === 'assumed' ? cuts : [text.length]
      held = ''
      state = 'text'
      pieces.push(...ends.map((end, nth) => ({ text: text.slice(ends[nth - 1] ?? 0, end) })))
      return pieces.filter(piece => 'reasoning' in piece ? piece.reasoning !== '' || piece.replaces : 'text' in piece && (piece.text !== '' || piece.replaces))
    }
  }
}
