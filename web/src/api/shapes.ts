export type { Bot, Conversation, Message, Profile, Session } from '../../../client/shapes.ts'
