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

/** One turn of what was said, by whom: the name of a user or a bot, null for one who has none. */
export interface Turn { sender: 'user' | 'bot', name: string | null, text: string }

/** A part of a reply as it comes, of any length, or what all of it cost, in tokens. */
export type Piece = { text: string } | { usage: { promptTokens: number, completionTokens: number } }

/**
 * A bot that takes its time. The turns are those before its reply, oldest first; the last one is what it answers. It
 * ends when the signal aborts, and frees what it holds. What keeps it from going on it throws as a `failure`.
 */
export type StreamingBot = (turns: Turn[], signal: AbortSignal) => AsyncIterable<Piece> | Promise<AsyncIterable<Piece>>

/** Why a bot could not go on, for users to see; never in the words of whoever runs it. */
export type FailureCode = 'BOT_UNREACHABLE' | 'BOT_OVERLOADED' | 'BOT_REFUSED' | 'BOT_SILENT' | 'BOT_BROKE_OFF' | 'BOT_NONSENSE' | 'BOT_NOT_CONFIGURED'

export function failure (code: FailureCode, cause?: unknown) {
  return Object.assign(new Error(code, { cause }), { failure: code })
}

export type Bot = { kind: 'instant', answer: InstantBot } | { kind: 'streaming', reply: StreamingBot }

/** What can run a bot. */
export type EngineName = 'simulated' | 'guided' | 'openai' | 'webhook'

/** A bot as it is stored: its name, and which engine runs it with which settings. */
export interface BotRow {
  id: number
  name: string
  engine: EngineName
  settings: Record<string, unknown>
}

/** Finds the bot that a row describes. */
export type Directory = (row: BotRow) => Bot

/** What may be set of an engine's bots, and the bot that this makes. What is `writeOnly` is never shown to anybody. */
export interface Engine {
  settings: TObject
  createBot: (settings: BotRow['settings'], name: string) => Bot
  /** Lets go of all connections. */
  close?: () => Promise<void>
}

export type Engines = Record<EngineName, Engine>
