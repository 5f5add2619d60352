import { Chat as Chat7 } from '@ai-sdk/react'
import { DefaultChatTransport as Transport7 } from 'ai'
import { DefaultChatTransport as Transport5 } from 'ai-5'
import { Chat as Chat5 } from 'ai-5-react'
import { DefaultChatTransport as Transport6 } from 'ai-6'
import { Chat as Chat6 } from 'ai-6-react'
import type { Headers } from './helper.ts'
import { until } from './process.ts'

// Front ends of the AI SDK, without a page: the `Chat` that React's `useChat` wraps, which is an `AbstractChat`.

export interface UiMessage {
  id: string
  role: string
  metadata?: unknown
  parts: Array<{ type: string, text?: string }>
}

/** What all versions have in common, as far as the tests use it. */
export interface UiChat {
  id: string
  status: string
  error: Error | undefined
  messages: UiMessage[]
  sendMessage: (message?: { text: string, messageId?: string } | { id: string, parts: Array<{ type: 'text', text: string }> }) => Promise<void>
  regenerate: (options?: { messageId?: string }) => Promise<void>
  resumeStream: () => Promise<void>
  stop: () => Promise<void>
}

export interface UiChatInit { url: string, headers: Headers, id?: string, messages?: UiMessage[], path?: string, sendsLastOnly?: boolean, fetch?: typeof globalThis.fetch }

/** With nothing set but the host and who asks. */
const transportOf = ({ url, headers, path = '/api/chat', sendsLastOnly = false, fetch }: UiChatInit) => ({
  api: `${url}${path}`,
  headers,
  ...fetch !== undefined && { fetch },
  // As in the AI SDK's own example of streams that can be resumed.
  ...sendsLastOnly && { prepareSendMessagesRequest: ({ id, messages }: { id: string, messages: unknown[] }) => ({ body: { id, message: messages.at(-1) } }) }
})

/** What a chat begins with. The versions have types of their own for the same messages. */
const stateOf = ({ id, messages = [] }: UiChatInit) => ({ ...id !== undefined && { id }, messages: messages as never })

export const VERSIONS: Array<[name: string, create: (init: UiChatInit) => UiChat]> = [
  ['ai 5', init => new Chat5({ ...stateOf(init), transport: new Transport5(transportOf(init)) }) as UiChat],
  ['ai 6', init => new Chat6({ ...stateOf(init), transport: new Transport6(transportOf(init)) }) as UiChat],
  ['ai 7', init => new Chat7({ ...stateOf(init), transport: new Transport7(transportOf(init)) }) as UiChat]
]

/** What a chat shows: who says what. */
export const shownIn = ({ messages }: UiChat) => messages.map(({ role, parts }) => `${role}: ${parts.flatMap(({ type, text }) => type === 'text' ? [text] : []).join('|')}`)

export const shows = async (chat: UiChat, last: string) => await until(() => shownIn(chat).at(-1) === last)
