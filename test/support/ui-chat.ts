import { Chat } from '@ai-sdk/react'
import { DefaultChatTransport, type UIMessage } from 'ai'
import * as five from 'ai-5'
import type { Headers } from './helper.ts'
import { until } from './process.ts'

// Front ends of the AI SDK, without a page: what `useChat` wraps, of version 6 as React has it, and of version 5.

export interface UiMessage {
  id: string
  role: string
  metadata?: unknown
  parts: Array<{ type: string, text?: string }>
}

/** What both versions have in common, as far as the tests use it. */
export interface UiChat {
  id: string
  status: string
  error: Error | undefined
  messages: UiMessage[]
  sendMessage: (message: { text: string, messageId?: string } | { id: string, parts: Array<{ type: 'text', text: string }> }) => Promise<void>
  regenerate: (options?: { messageId?: string }) => Promise<void>
  resumeStream: () => Promise<void>
  stop: () => Promise<void>
}

export interface UiChatInit { url: string, headers: Headers, id?: string, messages?: UiMessage[], path?: string, sendsLastOnly?: boolean }

/** With nothing set but the host and who asks. */
const transportOf = ({ url, headers, path = '/api/chat', sendsLastOnly = false }: UiChatInit) => ({
  api: `${url}${path}`,
  headers,
  // As in the AI SDK's own example of streams that can be resumed.
  ...sendsLastOnly && { prepareSendMessagesRequest: ({ id, messages }: { id: string, messages: unknown[] }) => ({ body: { id, message: messages.at(-1) } }) }
})

class FiveState implements five.ChatState<five.UIMessage> {
  status: five.ChatStatus = 'ready'
  error: Error | undefined = undefined
  messages: five.UIMessage[]
  constructor (messages: five.UIMessage[]) { this.messages = messages }
  pushMessage = (message: five.UIMessage) => { this.messages = [...this.messages, message] }
  popMessage = () => { this.messages = this.messages.slice(0, -1) }
  replaceMessage = (index: number, message: five.UIMessage) => { this.messages = this.messages.with(index, structuredClone(message)) }
  snapshot = <T> (thing: T): T => structuredClone(thing)
}

class FiveChat extends five.AbstractChat<five.UIMessage> {
  constructor (init: UiChatInit) {
    super({ ...init.id !== undefined && { id: init.id }, state: new FiveState((init.messages ?? []) as five.UIMessage[]), transport: new five.DefaultChatTransport(transportOf(init)) })
  }
}

export const VERSIONS: Array<[name: string, create: (init: UiChatInit) => UiChat]> = [
  ['ai 5', init => new FiveChat(init) as UiChat],
  ['ai 6 in React', init => new Chat({
    ...init.id !== undefined && { id: init.id }, messages: (init.messages ?? []) as UIMessage[], transport: new DefaultChatTransport(transportOf(init))
  }) as UiChat]
]

/** What a chat shows: who says what. */
export const shownIn = ({ messages }: UiChat) => messages.map(({ role, parts }) => `${role}: ${parts.flatMap(({ type, text }) => type === 'text' ? [text] : []).join('|')}`)

export const shows = async (chat: UiChat, last: string) => await until(() => shownIn(chat).at(-1) === last)
