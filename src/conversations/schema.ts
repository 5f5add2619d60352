import { Type, type Static } from 'typebox'
import { Name } from '../accounts/schema.ts'
import { WHEN_BUSY } from '../enums.ts'
import { invalidRequest } from '../http/faults.ts'
import { ClientId, Id, Metadata, PageQuery, Rev, Text, Timestamp } from '../http/schema.ts'
import { MessagesSchema } from '../log/message.ts'
import { MAX_CHOICE_ID_LENGTH, MAX_DATA_BYTES, MAX_DATA_NAME_LENGTH, MAX_SENT_PARTS, MAX_TITLE_LENGTH, RESERVED_TYPES, wordsOf } from '../text/message-parts.ts'
import { isLongerThan, MAX_LONG_MESSAGE_LENGTH } from '../text/text.ts'

/** The longest text that any bot accepts. `mustFit` checks the limit of the conversation's bots. */
export const UserText = Text(MAX_LONG_MESSAGE_LENGTH)

/** As whom a server writes: one of the conversation's bots, by name, or a human agent. */
const SpeakerSchema = Type.Object({ bot: Type.Optional(Type.String({ maxLength: 64 })), agent: Type.Optional(Name) }, {
  title: 'Speaker',
  minProperties: 1,
  maxProperties: 1,
  'x-rule': 'must name either a bot or an agent',
  description: 'Only for a server key with the scope `act`, without `X-Act-As`: the bot of the conversation, or the human agent, in whose name it is said'
})
export type Speaker = Static<typeof SpeakerSchema>

/** What a user sends as a part. Parts of bots, and types that do not exist yet, are refused. */
const NewPart = Type.Union([
  Type.Object({ type: Type.Enum(['text']), text: UserText }),
  Type.Object({ type: Type.Enum(['choice']), id: Text(MAX_CHOICE_ID_LENGTH), title: Text(MAX_TITLE_LENGTH) }),
  Type.Object({ type: Type.Enum(['data']), name: Text(MAX_DATA_NAME_LENGTH), data: Type.Unknown({ 'x-max-bytes': MAX_DATA_BYTES }) })
], {
  title: 'NewPart',
  'x-rule': `must be a text (text), a choice (id, title) or data (name, data of at most 16 KiB); parts of type ${RESERVED_TYPES.join(' or ')} cannot be sent yet`
})

/** A message as users send it. Over HTTP, servers send messages, too. */
export const UserMessageSchema = Type.Object({
  text: Type.Optional(UserText),
  parts: Type.Optional(Type.Array(NewPart, { minItems: 1, maxItems: MAX_SENT_PARTS, description: 'What the message is made of. Without `text`, the server writes the text' })),
  client_id: Type.Optional(ClientId),
  metadata: Type.Optional(Metadata)
}, { title: 'UserMessage' })
export const NewMessageSchema = Type.Object({ ...UserMessageSchema.properties, as: Type.Optional(SpeakerSchema) }, { title: 'NewMessage', description: 'It needs `text` or `parts`' })

/**
 * The text and the parts of what a client sends. Without a text, it is what the parts say.
 * @throws INVALID_REQUEST when there is neither, and when the parts say nothing or too much
 */
export function saidIn ({ text, parts }: Pick<Static<typeof NewMessageSchema>, 'text' | 'parts'>) {
  if (text === undefined && parts === undefined) throw invalidRequest([{ path: 'text', message: 'is required' }])
  const words = parts === undefined ? '' : wordsOf(parts)
  const said = text ?? words
  if (said === '') throw invalidRequest([{ path: 'parts', message: 'has no text' }])
  if (isLongerThan(MAX_LONG_MESSAGE_LENGTH, (text ?? '') + words)) throw invalidRequest([{ path: 'parts', message: `may have at most ${MAX_LONG_MESSAGE_LENGTH.toLocaleString('en-US')} characters of text, together with text` }])
  return { text: said, parts }
}

export const EditedMessageSchema = Type.Object({ text: UserText }, { title: 'EditedMessage' })

/** Fields of a conversation that clients set. They are left out of answers if they are not set. Only the owner sees `client_id`. */
const own = { client_id: Type.Optional(Type.String()), metadata: Type.Optional(Metadata) }

export const ConversationNameSchema = Type.Object({ name: Text(200), metadata: Type.Optional(Metadata) }, { title: 'ConversationName' })
export const NewConversationSchema = Type.Object({
  name: Type.Optional(Text(200)),
  bots: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 8, uniqueItems: true, description: 'Names of the bots that take part; left out: the default one' })),
  client_id: Type.Optional(ClientId),
  metadata: Type.Optional(Metadata)
}, { title: 'NewConversation' })
/** Only sockets name other members when they begin a conversation. */
export type NewConversation = Static<typeof NewConversationSchema> & { users?: string[] }

/** What happens to a message that is sent while a bot is replying: it waits, or stops the reply so that both messages are answered together, or is refused. */
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
  unread: Type.Integer(),
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
