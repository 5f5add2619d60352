import { isBlank } from '../text/text.ts'
import type { Turn } from './bot.ts'
import { TOKENS_PER_MESSAGE, type TokenCounter } from './token-counter.ts'

export interface Line { role: 'user' | 'assistant', content: string }

/** The part of a conversation that is sent to a model. */
export interface History {
  lines: Line[]
  /** The turns in the lines, the one of them that is the question, and whether the lines begin with the speakers' names. */
  turns: Turn[]
  question: Turn | undefined
  isGroup: boolean
  /** The tokens of the turns. Counting stops at the budget, so a question that is over it costs at least this much. */
  tokens: number
  /** Whether it holds more than the question, so that a smaller budget makes it shorter. */
  isLonger: boolean
}

/**
 * Turns a conversation into the lines that strict chat templates accept: user and assistant alternate, the user comes
 * first and last, and no line is blank. Neighbours of one role are joined by a blank line. Turns that have no place in
 * this order are left out: the bot's own turns before the first and after the last of somebody else. In a group (or
 * when `isGroup` says so) the name of each other speaker stands before what they said. `me` is the bot's own name.
 */
export function linesOf (turns: Turn[], me: string, isGroup = isGroupOf(turns, me)): Line[] {
  const lines: Line[] = []
  for (const turn of turns) {
    if (isBlank(turn.text)) continue
    const role = isMine(turn, me) ? 'assistant' : 'user'
    const content = contentOfTurn(turn, me, isGroup)
    const last = lines.at(-1)
    if (last?.role === role) last.content += `\n\n${content}`
    else if (last !== undefined || role === 'user') lines.push({ role, content })
  }
  if (lines.at(-1)?.role === 'assistant') lines.pop()
  return lines
}

/**
 * Chooses as many turns of a conversation as fit into `budget` tokens, and turns them into lines (see `linesOf`). The
 * question, which is a user's last turn, is always included. Then come the turns after it, which are other bots' replies
 * to it, then the turns before it, newest first. A turn is included whole or not at all.
 */
export async function fit (turns: Turn[], budget: number, me: string, tokens: Pick<TokenCounter, 'inText'>): Promise<History> {
  const isGroup = isGroupOf(turns, me)
  const spoken = turns.filter(({ text }) => !isBlank(text))
  const end = spoken.findLastIndex(turn => !isMine(turn, me)) + 1
  const lastOfUser = spoken.slice(0, end).findLastIndex(({ sender }) => sender === 'user')
  const question = lastOfUser === -1 ? end - 1 : lastOfUser
  if (question === -1) return { lines: [], turns: [], question: undefined, isGroup, tokens: 0, isLonger: false }

  let left = budget
  let [from, to] = [question, question + 1]
  left -= await costOf(question)
  while (to < end && await fits(to)) to++
  // If a reply to the question does not fit, the turns before the question are left out too: the history has no gaps.
  if (to === end) while (from > 0 && await fits(from - 1)) from--
  while (from < question && isMine(spoken[from]!, me)) from++
  const chosen = spoken.slice(from, to)
  return { lines: linesOf(chosen, me, isGroup), turns: chosen, question: spoken[question], isGroup, tokens: budget - left, isLonger: to - from > 1 }

  async function fits (turn: number) {
    if (left <= 0) return false
    const cost = await costOf(turn)
    if (cost > left) return false
    left -= cost
    return true
  }

  async function costOf (turn: number) {
    return TOKENS_PER_MESSAGE + await tokens.inText(contentOfTurn(spoken[turn]!, me, isGroup), left)
  }
}

export const isMine = ({ sender, name }: Turn, me: string) => sender === 'bot' && (name === null || name === me)

export const isGroupOf = (turns: Turn[], me: string) => new Set(turns.filter(turn => !isMine(turn, me)).map(({ name }) => name)).size > 1

export function contentOfTurn (turn: Turn, me: string, isGroup: boolean) {
  return isGroup && !isMine(turn, me) && turn.name !== null ? `${turn.name}: ${turn.text}` : turn.text
}
