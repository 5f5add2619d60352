import type { TObject } from 'typebox'
import type { EngineName, Origin } from '../enums.ts'
import type { FailureCode } from '../failures.ts'
import type { Addendum, Part } from '../text/message-parts.ts'

export type { FailureCode }

export interface Answer {
  /** 1 to 100,000 code points. */
  text: string
  /** The bot's state in the conversation, any JSON. It is stored with the conversation. Left out by bots without a state. */
  state?: unknown
  /** Whether the conversation is finished. Left out by bots that never finish one. */
  isFinished?: boolean
}

/** A bot that answers at once. A pure function of the message and of the bot's state, which is undefined at first. */
export type InstantBot = (said: { text: string, state: unknown }) => Answer

/**
 * A message of the history. `name` is that of the user or bot who wrote it, or null. `id` is that of the message in the
 * conversation; it is left out when the client keeps the history itself.
 */
export interface Turn { id?: number, sender: 'user' | 'bot', name: string | null, text: string }

/** What a reply cost, in tokens. `model` is left out if the engine has passed it to `ReplyContext.begins`, or if there is none. */
export interface TokenUsage {
  promptTokens: number
  completionTokens: number
  model?: string | undefined
  /** Whether any of the numbers is an estimate. Default: false. */
  isEstimate?: boolean | undefined
}

/** A bot's state in the conversation after a reply. A field that is left out stays as it was; a `state` of null deletes the state. */
export interface BotMemory { state?: unknown, isFinished?: boolean }

/**
 * A piece of a reply, in the order in which they arrive:
 * - `text`: a piece of text of any length. With `replaces`, all text before it turned out not to belong to the reply, and is removed.
 * - `reasoning`: a piece of the model's reasoning. An empty one shows that the model is at work. With `replaces`, all reasoning
 *   before it turned out to be text, and the text follows.
 * - `part`: a part that follows the text. Unless `isSaid`, it is also added to the text in words.
 * - `usage`: what the reply has cost so far; the last one counts. `memory`: the bot's new state, stored when the reply is
 *   complete. `refused`: turns that a content filter refuses.
 */
export type ReplyPiece = { text: string, replaces?: true } | { reasoning: string, replaces?: true } | { part: Addendum, isSaid: boolean } | { usage?: TokenUsage | undefined, memory?: BotMemory | undefined, refused?: Turn[] | undefined }

/** Estimates what a reply costs, for providers that do not report it. */
export interface Estimate {
  model: string
  /** A rough number of the prompt's tokens, known before the reply begins. It is used if the process dies before it can count. */
  roughPromptTokens: number
  /** Counts the tokens of the prompt and of `text`, the part of the reply that was received. */
  count: (text: string) => Promise<{ promptTokens: number, completionTokens: number }>
}

/** The conversation, message and user for which a bot writes a reply. */
export interface ReplyContext {
  /** `metadata`: the object that clients stored with the conversation, or an empty one. Null when the client keeps the history itself. */
  conversation: { id: number, name: string, metadata: Record<string, unknown> } | null
  /** The ids of the message to answer and of the reply, and the parts and the object that the client sent with the message; both may be empty. */
  message: { id: number, replyId: number, parts: Part[], metadata: Record<string, unknown> } | null
  /** The author of the message to answer, with the object that the operator's servers stored with them. Null when the account was deleted, or a server asks for no user. */
  user: { id: number, name: string | null, metadata: Record<string, unknown> } | null
  /** `v1`: OpenAI's API, where the client keeps the history. */
  channel: Origin | 'v1'
  /** Instructions that such a client adds to the bot's own prompt. Left out: none. */
  instructions?: string
  /** The state that this bot stored with the conversation; null at first. */
  state: unknown
  metadata: Record<string, unknown>
  /** A stable pseudonym of the user for the provider. Undefined: the provider gets none. */
  providerUser?: string | undefined
  /**
   * Call it when the provider has begun to answer: from then on the reply costs something. Engines whose replies cost
   * nothing never call it.
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

/** Properties that bots of all kinds have. */
export interface BotTraits {
  /** Whether it is set up, so that it can reply. Default: true. */
  isReady?: boolean
  /** The longest message that it accepts, in code points. Default: 8,000, the minimum. */
  longestText?: number
}

export type Bot = ({ kind: 'instant', answer: InstantBot } | { kind: 'streaming', reply: StreamingBot }) & BotTraits

/** A bot as it is stored: its name, and which engine runs it with which settings. */
export interface BotRow {
  id: number
  name: string
  engine: EngineName
  settings: Record<string, unknown>
}

/** Creates the bot that a row describes. */
export type Directory = (row: BotRow) => Bot

/** The schema of the settings of an engine's bots, and a function that creates a bot from them. Settings that are `writeOnly` are never returned by the API. */
export interface Engine {
  settings: TObject
  createBot: (settings: BotRow['settings'], name: string) => Bot
  /** Closes all connections. */
  close?: () => Promise<void>
}

export type Engines = Record<EngineName, Engine>
