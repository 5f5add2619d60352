import type { paths } from './types.ts'

/** The body of a successful GET. */
type Get<Path extends keyof paths> = paths[Path] extends { get: { responses: { 200: { content: { 'application/json': infer Body } } } } } ? Body : never
export type Profile = Get<'/api/me'>
export type Session = Get<'/api/me/sessions'>[number]
export type Conversation = Get<'/api/conversations'>[number]
export type Bot = Get<'/api/bots'>[number]
export type Message = Get<'/api/conversations/{id}/messages'>[number]
