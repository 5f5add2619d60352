import { setImmediate as pause } from 'node:timers/promises'
import type { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import type { Turn } from './bot.js'

export interface Line { role: 'user' | 'assistant', content: string }

/** What each line costs beside its words, as OpenAI counts. */
const LINE = 4

/** The tokenizer's work grows with the square of a run of letters: 100,000 emoji in one piece would take it a minute. */
const SLICE = 500

/** How many slices are counted, a few milliseconds, before others get their turn. */
const BREATH = 20

/**
 * What was said as a model takes it, as much of it as `budget` tokens reach, from the newest back: the turns that are
 * too old are left out whole, the last one never. `me` is the bot's own name; the others' stand before what they said
 * where there are several.
 */
export async function fit (turns: Turn[], budget: number, me: string, count: typeof countTokens): Promise<Line[]> {
  const isMine = ({ sender, name }: Turn) => sender === 'bot' && (name === null || name === me)
  const isGroup = new Set(turns.filter(turn => !isMine(turn)).map(({ name }) => name)).size > 1
  const kept: Line[] = []
  let left = budget
  const breathe = createBreath()
  for (const turn of turns.toReversed()) {
    const { name, text } = turn
    const content = isGroup && !isMine(turn) && name !== null ? `${name}: ${text}` : text
    left -= LINE + await tokensIn(content, left, count, breathe)
    if (left < 0 && kept.length > 0) break
    kept.push({ role: isMine(turn) ? 'assistant' : 'user', content })
  }
  return kept.reverse()
}

/** Counts no further than `most`. A word that two slices share counts once more. */
async function tokensIn (text: string, most: number, count: typeof countTokens, breathe: () => Promise<void> | undefined) {
  let tokens = 0
  for (let at = 0; at < text.length && tokens <= most; at += SLICE) {
    tokens += count(text.slice(at, at + SLICE), AS_TEXT)
    await breathe()
  }
  return tokens
}

/** Lets others have their turn after every so many slices, and not before a short text is counted. */
function createBreath () {
  let slices = 0
  return () => ++slices % BREATH === 0 ? pause() : undefined
}

/** `<|endoftext|>` in a message is what somebody wrote. */
const AS_TEXT = { disallowedSpecial: new Set<string>() }
