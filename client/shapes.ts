import type { components, paths } from './types.ts'

/** The body of a successful GET. */
type Get<Path extends keyof paths> = paths[Path] extends { get: { responses: { 200: { content: { 'application/json': infer Body } } } } } ? Body : never

export type Profile = Get<'/api/me'>
export type Session = Get<'/api/me/sessions'>[number]
export type Conversation = Get<'/api/conversations'>[number]
export type Bot = Get<'/api/bots'>[number]
export type Message = Get<'/api/conversations/{id}/messages'>[number]
export type Part = NonNullable<Message['parts']>[number]
export type NewConversation = components['schemas']['NewConversation']

/** What a user sends: `text`, or `parts`, or both. */
export type NewMessage = Pick<components['schemas']['NewMessage'], 'text' | 'parts' | 'metadata'>

/** A piece of a reply that is being written. `offset` is in UTF-16 units of its part; `part` is left out for 0, `type` for text. */
export interface Delta { id: number, part?: number | undefined, type?: 'text' | 'reasoning' | undefined, offset: number, text: string }
