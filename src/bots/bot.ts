import type { TObject } from 'typebox'

export interface Answer {
  /** 1 to 100,000 code points. */
  text: string
  /** What to remember of the conversation: JSON, kept with it. Left out by bots that remember nothing. */
  state?: unknown
  /** Whether the bot is through with the conversation; left out by bots that never are. */
  isFinished?: boolean
}

/** A bot that answers at once: a pure function of what it remembers, at first undefined, and what was said. */
export type InstantBot = (said: { text: string, state: unknown }) => Answer

/** What can run a bot. */
export type EngineName = 'simulated' | 'guided'

/** A bot as it is stored: its name, and which engine runs it with which settings. */
export interface BotRow {
  id: number
  name: string
  engine: EngineName
  settings: Record<string, unknown>
}

/** Finds the bot that a row describes. */
export type Directory = (row: BotRow) => InstantBot

/** What may be set of an engine's bots, and the bot that this makes. */
export interface Engine {
  settings: TObject
  createBot: (settings: BotRow['settings']) => InstantBot
}

export type Engines = Record<EngineName, Engine>
