import { Type, type Static } from 'typebox'
import { WHEN_BUSY } from '../enums.ts'
import { ClientId, Id, Metadata, PageQuery, Rev, Text, Timestamp } from '../http/schema.ts'
import { MessagesSchema } from '../log/message.ts'
import { MAX_LONG_MESSAGE_LENGTH } from '../text/text.ts'

/** As long as the most patient bot takes it; `mustFit` says how much the bots of the conversation take. */
export const UserText = Text(MAX_LONG_MESSAGE_LENGTH)

export const NewMessageSchema = Type.Object({ text: UserText, client_id: Type.Optional(ClientId) }, { title: 'NewMessage' })
export const EditedMessageSchema = Type.Object({ text: UserText }, { title: 'EditedMessage' })

/** What clients add to a conversation. Answers leave out what nobody has set, and show the `client_id` to the owner only. */
const own = { client_id: Type.Optional(Type.String()), metadata: Type.Optional(Metadata) }

export const ConversationNameSchema = Type.Object({ name: Text(200), metadata: Type.Optional(Metadata) }, { title: 'ConversationName' })
export const NewConversationSchema = Type.Object({
  name: Text(200),
  bots: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 8, uniqueItems: true, description: 'Names of the bots that take part; left out: the default one' })),
  client_id: Type.Optional(ClientId),
  metadata: Type.Optional(Metadata)
}, { title: 'NewConversation' })
/** Only sockets name other members when they begin a conversation. */
export type NewConversation = Static<typeof NewConversationSchema> & { users?: string[] }

/** What a message does that comes while a bot still answers: waits, stops the reply so that both are answered, or is refused. */
const WhenBusy = Type.Enum(WHEN_BUSY)

export const ConversationChangesSchema = Type.Object({ name: Type.Optional(Text(200)), when_busy: Type.Optional(WhenBusy), metadata: Type.Optional(Metadata) }, { title: 'ConversationChanges' })
export type ConversationChanges = Static<typeof ConversationChangesSchema>

export const ConversationSettingsSchema = Type.Object({ id: Id, name: Type.String(), when_busy: WhenBusy, ...own }, { title: 'ConversationSettings' })

export const ConversationTitleSchema = Type.Object({ id: Id, name: Type.String(), ...own }, { title: 'ConversationTitle' })

export const ConversationSchema = Type.Object({
  id: Id,
  name: Type.String(),
  is_finished: Type.Boolean(),
  last_updated: Timestamp,
  ...own,
  unread: Type.Integer({ description: 'How many messages of others you have not read, to 99' }),
  messages: MessagesSchema
}, { title: 'Conversation' })

const newestMessages = Type.Integer({ minimum: 0, maximum: 200, default: 50, description: 'How many of the newest messages come along' })

export const ConversationQuery = Type.Object({ messages: newestMessages })
export const ConversationsQuery = Type.Object({ ...PageQuery.properties, messages: newestMessages })

export const MessagesQuery = Type.Object({
  limit: PageQuery.properties.limit,
  before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the message with this id' })),
  after: Type.Optional(Type.Integer({ ...Rev, description: 'Everything that changed after this rev, deletions too, in the order of the changes' }))
}, { not: { required: ['before', 'after'] }, 'x-rule': 'takes before or after, not both' })

export const ConversationParams = Type.Object({ id: Id })
export const MessageParams = Type.Object({ id: Id, message: Id })
