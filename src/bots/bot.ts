/** What a bot remembers of a conversation: JSON, kept with the conversation. Undefined before its first answer. */
export type BotState = unknown

export interface Answer {
  /** 1 to 100,000 code points. */
  text: string
  /** What to remember; left out by bots that remember nothing. */
  state?: BotState
  /** Whether the bot is through with the conversation. */
  isFinished?: boolean
}

/** A bot that answers at once: a pure function of what it remembers and what was said. */
export type InstantBot = (said: { text: string, state: BotState }) => Answer

/** A bot as it is stored: its name, and which engine runs it with which settings. */
export interface BotRow {
  id: number
  name: string
  engine: string
  settings: Record<string, unknown>
}

/** Finds the bot that a row describes. */
export type Directory = (row: BotRow) => InstantBot
