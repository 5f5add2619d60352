import { Type, type Static } from 'typebox'
import { ClientId, Id, Nullable, PageQuery, Rev, Text, Timestamp } from '../http/schema.js'

export const MessageSchema = Type.Object({
  id: Id,
  rev: Rev,
  sender: Type.Enum(['user', 'bot']),
  username: Nullable(Type.String({ description: 'Whose it is, or the name of the bot' })),
  text: Type.String(),
  status: Type.Enum(['complete', 'queued', 'streaming', 'stopped', 'interrupted', 'failed', 'deleted']),
  created_at: Timestamp
}, { description: '`id` is its place in the conversation; `rev` is the conversation\'s count of changes at its last change' })
export type Message = Static<typeof MessageSchema>

export const MessagesSchema = Type.Array(MessageSchema)

const UserText = Text(8000)

export const NewMessageSchema = Type.Object({ text: UserText, client_id: Type.Optional(ClientId) })
export const EditedMessageSchema = Type.Object({ text: UserText })

export const ConversationNameSchema = Type.Object({ name: Text(200) })
export const NewConversationSchema = Type.Object({
  name: Text(200),
  bots: Type.Optional(Type.Array(Type.String(), { maxItems: 8, uniqueItems: true, description: 'Names of the bots that take part; left out: the default one' }))
})
export type NewConversation = Static<typeof NewConversationSchema> & { users?: string[] }

/** What a message does that comes while a bot still answers: waits, stops the reply so that both are answered, or is refused. */
const WhenBusy = Type.Enum(['queue', 'interrupt', 'reject'])

export const ConversationChangesSchema = Type.Object({ name: Type.Optional(Text(200)), when_busy: Type.Optional(WhenBusy) })
export type ConversationChanges = Static<typeof ConversationChangesSchema>

export const ConversationSettingsSchema = Type.Object({ id: Id, name: Type.String(), when_busy: WhenBusy })

export const ConversationTitleSchema = Type.Object({ id: Id, name: Type.String() })

export const ConversationSchema = Type.Object({
  id: Id,
  name: Type.String(),
  is_finished: Type.Boolean(),
  last_updated: Timestamp,
  messages: MessagesSchema
})

const newestMessages = Type.Integer({ minimum: 0, maximum: 200, default: 50, description: 'How many of the newest messages come along' })

export const ConversationQuery = Type.Object({ messages: newestMessages })
export const ConversationsQuery = Type.Object({ ...PageQuery.properties, messages: newestMessages })

export const MessagesQuery = Type.Object({
  limit: PageQuery.properties.limit,
  before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the message with this id' })),
  after: Type.Optional(Type.Integer({ ...Rev, description: 'Everything that changed after this rev, deletions too, in the order of the changes' }))
}, { not: { required: ['before', 'after'] } })

export const ConversationParams = Type.Object({ id: Id })
export const MessageParams = Type.Object({ id: Id, message: Id })
