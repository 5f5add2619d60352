import type { TObject } from 'typebox'
import type { EngineName, Origin } from '../enums.ts'
import type { FailureCode } from '../failures.ts'
import type { Addendum, Part } from '../text/message-parts.ts'

export type { FailureCode }

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

/**
 * A message of the history. `name` is that of the user or bot who wrote it, or null. `id` is that of the message in the
 * conversation; it is left out when the client keeps the history itself.
 */
export interface Turn { id?: number, sender: 'user' | 'bot', name: string | null, text: string }

/** What a reply cost, in tokens. `model` is left out where the engine told it by `ReplyContext.begins`, or there is none. */
export interface TokenUsage {
  promptTokens: number
  completionTokens: number
  model?: string | undefined
  /** Whether some of it is an estimate; left out: none is. */
  isEstimate?: boolean | undefined
}

/** What a bot remembers of the conversation after a reply. What is left out stays as it was; a `state` of null is forgotten. */
export interface BotMemory { state?: unknown, isFinished?: boolean }

/**
 * A part of a reply as it comes: text of any length; a part that follows the text, which `isSaid` in the text already or is
 * added to it in words; or what the reply has cost so far, of which the last one counts, what to remember, which is stored
 * when the reply is complete, and turns that a content filter refuses. Text that `replaces` takes back all text before it,
 * which turned out to be no part of the reply. `reasoning` is a piece of what a model thinks; it may be empty, to show that
 * the model is at work, and if it `replaces`, all reasoning before it turned out to be text, which follows.
 */
export type ReplyPiece = { text: string, replaces?: true } | { reasoning: string, replaces?: true } | { part: Addendum, isSaid: boolean } | { usage?: TokenUsage | undefined, memory?: BotMemory | undefined, refused?: Turn[] | undefined }

/** How to estimate what a reply costs whose provider never says. */
export interface Estimate {
  model: string
  /** Tokens of the prompt, roughly, known at once. Used when the process dies before it can count. */
  roughPromptTokens: number
  /** Counts the tokens of the prompt and of `text`, which is as much of the reply as came. */
  count: (text: string) => Promise<{ promptTokens: number, completionTokens: number }>
}

/** Where a bot is asked, by whom, and to which message it replies. */
export interface ReplyContext {
  /** `metadata`: the object that clients keep with the conversation; empty where they keep none. Null when the client keeps the history itself. */
  conversation: { id: number, name: string, metadata: Record<string, unknown> } | null
  /** The message to answer and the reply, by their ids in the conversation, and what the client sent with the message: parts and an object; both may be empty. */
  message: { id: number, replyId: number, parts: Part[], metadata: Record<string, unknown> } | null
  /** Who wrote the message to answer, with the object that the operator's servers keep about them; null when the account was deleted, or a server asks for no user. */
  user: { id: number, name: string | null, metadata: Record<string, unknown> } | null
  /** `v1`: OpenAI's API, where the client keeps the history. */
  channel: Origin | 'v1'
  /** What such a client adds to the bot's own prompt; left out: nothing. */
  instructions?: string
  /** What this bot remembered of the conversation; null at first. */
  state: unknown
  metadata: Record<string, unknown>
  /** The user as a provider may know them: a stable pseudonym, or undefined where nothing is to be said. */
  providerUser?: string | undefined
  /**
   * To be called once the provider has begun to answer, which is when a reply begins to cost something. Engines whose
   * replies cost nothing never call it.
   */
  begins?: ((estimate: Estimate) => void) | undefined
}

/**
 * A bot that streams its reply. `turns` are the messages before the reply, oldest first; the last one is the message to
 * answer. Must stop and release its resources when `signal` aborts. Throws `failure(code)` if it cannot reply.
 */
export type StreamingBot = (turns: Turn[], signal: AbortSignal, context?: ReplyContext) => AsyncIterable<ReplyPiece> | Promise<AsyncIterable<ReplyPiece>>

export function failure (code: FailureCode, cause?: unknown) {
  return Object.assign(new Error(code, { cause }), { failure: code })
}

/** What else is to be known of a bot. */
export interface BotTraits {
  /** Whether it can reply at all; left out: it can. */
  isReady?: boolean
  /** How long a message to it may be, in code points; left out: 8,000, which is the least. */
  longestText?: number
}

export type Bot = ({ kind: 'instant', answer: InstantBot } | { kind: 'streaming', reply: StreamingBot }) & BotTraits

/** What can run a bot. */

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
