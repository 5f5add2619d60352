import { lengthOf } from '../../text/text.ts'
import type { InstantBot } from '../bot.ts'

/** A rule of a state. The rules of a state are tried in order, and the first one that matches answers. */
interface Rule {
  /** Matches only this text, in any case. */
  says?: string
  /** The longest answer that matches, in code points. */
  atMost?: number
  /** Stores the text as an answer under this name. */
  keep?: string
  /** What the bot says; `{name}` is replaced by the answer that was stored as `name`. */
  reply: string
  /** The next state. Default: the same one. */
  next?: string
  /** Deletes all stored answers. */
  forget?: true
}

/** The script of a guided chat. The last rule of each state must match everything. */
export interface Script {
  start: string
  /** The state in which the conversation is finished. */
  end: string
  states: Record<string, Rule[]>
}

/** A user's place in a script: the state, and the stored answers. */
export interface FlowState {
  at: string
  answers: Record<string, string>
}

/**
 * Takes one step: a pure function from the place and the input to the next place and the reply. A state that the script does
 * not have is from an earlier script of the bot; then the conversation begins again at `start`.
 */
export function step (script: Script, place: FlowState, input: string): { place: FlowState, reply: string } {
  const { at, answers } = Object.hasOwn(script.states, place.at) ? place : beginningOf(script)
  const { keep, reply, next = at, forget } = script.states[at]!.find(rule => fits(rule, input))!
  const kept = forget ? {} : keep === undefined ? answers : { ...answers, [keep]: input }
  return { place: { at: next, answers: kept }, reply: fill(reply, kept) }
}

export function createGuidedBot (script: Script): InstantBot {
  return function guided ({ text, state = beginningOf(script) }) {
    const { place, reply } = step(script, state as FlowState, text)
    return { text: reply, state: place, isFinished: place.at === script.end }
  }
}

const beginningOf = ({ start }: Script): FlowState => ({ at: start, answers: {} })

function fits ({ says, atMost = Infinity }: Rule, input: string) {
  return (says === undefined || says.toLowerCase() === input.toLowerCase()) && lengthOf(input) <= atMost
}

/** Replaces all placeholders in one pass, so that an answer that looks like a placeholder is not replaced again. */
function fill (reply: string, answers: FlowState['answers']) {
  return reply.replace(/\{(\w+)\}/g, (_placeholder, name: string) => answers[name] ?? '')
}
