import { lengthOf } from '../../text/text.ts'
import type { InstantBot } from '../bot.ts'

/** What is tried, in order, in one state of a script: the first rule that fits answers. */
interface Rule {
  /** Fits only this text, in any case. */
  says?: string
  /** The longest answer that fits, in code points. */
  atMost?: number
  /** Keeps the text as the answer of this name. */
  keep?: string
  /** What the bot says; `{name}` stands for the answer that was kept as `name`. */
  reply: string
  /** The next state; left out: the same one. */
  next?: string
  /** Forgets every answer, to begin anew. */
  forget?: true
}

/** A guided conversation as data. The last rule of a state fits everything. */
export interface Script {
  start: string
  /** The state in which the conversation is finished. */
  end: string
  states: Record<string, Rule[]>
}

/** Where somebody is in a script, and what they have answered. */
export interface FlowState {
  at: string
  answers: Record<string, string>
}

/**
 * Takes one step: `(state, input) → (state, reply)`, and nothing else. A place that the script does not have is one of
 * the script that the bot had before: this one begins at its start.
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

/** In one pass, so that an answer that looks like a placeholder stays what it is. */
function fill (reply: string, answers: FlowState['answers']) {
  return reply.replace(/\{(\w+)\}/g, (_placeholder, name: string) => answers[name] ?? '')
}
