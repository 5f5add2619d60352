import type { InstantBot } from '../bot.js'

/** What is tried, in order, in one state of a script: the first rule that fits answers. */
interface Rule {
  /** Fits only this text, in any case. */
  says?: string
  /** Fits only up to so many code points. */
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
export interface Place {
  at: string
  answers: Record<string, string>
}

/** Takes one step: `(state, input) → (state, reply)`, and nothing else. */
export function step (script: Script, { at, answers }: Place, input: string): { place: Place, reply: string } {
  const { keep, reply, next = at, forget } = script.states[at]!.find(rule => fits(rule, input))!
  const kept = forget ? {} : keep === undefined ? answers : { ...answers, [keep]: input }
  return { place: { at: next, answers: kept }, reply: fill(reply, kept) }
}

export function createGuidedBot (script: Script): InstantBot {
  return function guided ({ text, state = { at: script.start, answers: {} } }) {
    const { place, reply } = step(script, state as Place, text)
    return { text: reply, state: place, isFinished: place.at === script.end }
  }
}

function fits ({ says, atMost = Infinity }: Rule, input: string) {
  return (says === undefined || says === input.toLowerCase()) && [...input].length <= atMost
}

/** In one pass, so that an answer that looks like a placeholder stays what it is. */
function fill (reply: string, answers: Place['answers']) {
  return reply.replace(/\{(\w+)\}/g, (_placeholder, name: string) => answers[name]!)
}
