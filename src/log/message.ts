import { Type, type Static } from 'typebox'
import { jsonTime } from '../db/client.ts'
import { MESSAGE_STATUSES, SENDERS } from '../enums.ts'
import { FAILURE_CODES, FAILURES, LEFT_OUT, UNKNOWN_FAILURE, type FailureCode } from '../failures.ts'
import { PART_TYPES, type Part } from '../text/message-parts.ts'
import { Id, Metadata, Nullable, Rev, Timestamp } from '../http/schema.ts'

// What a message is: its schema on the wire, and how it is read from the table. A field that is added here shows in every
// channel.

/** A part on the wire. One schema for all types is written as JSON several times as fast as a union. */
const PartSchema = Type.Unsafe<Part>(Type.Object({
  type: Type.Enum(PART_TYPES),
  text: Type.Optional(Type.String({ description: 'Of `text` and `reasoning`' })),
  url: Type.Optional(Type.String({ description: 'Of `source`' })),
  id: Type.Optional(Type.String({ description: 'Of `choice`: which of the choices' })),
  title: Type.Optional(Type.String({ description: 'Of `source` and `choice`' })),
  choices: Type.Optional(Type.Array(Type.Object({ id: Type.String(), title: Type.String() }, { title: 'Choice' }), { description: 'Of `choices`: answers to choose from' })),
  name: Type.Optional(Type.String({ description: 'Of `data`' })),
  data: Type.Optional(Type.Unknown({ description: 'Of `data`: any JSON' }))
}, { title: 'Part' }))

export const MessageSchema = Type.Object({
  id: Id,
  rev: Rev,
  sender: Type.Enum(SENDERS),
  username: Nullable(Type.String({ description: 'Whose it is, by username or, without one, by name; or the name of the bot, or of the agent as whom a server wrote' })),
  text: Type.String(),
  status: Type.Enum(MESSAGE_STATUSES),
  created_at: Timestamp,
  parts: Type.Optional(Type.Array(PartSchema, { description: 'What the message is made of, where it is more than one text. `text` says it in plain words' })),
  metadata: Type.Optional(Metadata),
  failure: Type.Optional(Type.Enum(FAILURE_CODES, {
    title: 'Failure',
    description: `Why a reply failed. Apart from \`failed\` messages, only those have it that a content filter refused later: \`MESSAGE_REFUSED\`. ${Object.entries(FAILURES).map(([code, sentence]) => `\`${code}\`: ${sentence}`).join(' ')}`
  }))
}, { title: 'Message', description: '`id` is its place in the conversation; `rev` is the conversation\'s count of changes at its last change' })
export type Message = Static<typeof MessageSchema>

export const MessagesSchema = Type.Array(MessageSchema)

const IS_LEFT_OUT = `m.error = '${LEFT_OUT}' AND m.status NOT IN ('failed', 'deleted')`
const HAS_FAILURE = `m.status = 'failed' OR ${IS_LEFT_OUT}`

/**
 * The failure code of a failed message, or of a message that a content filter refused later. An unknown code, from
 * another version, becomes a known one.
 */
const FAILURE_CODE = `CASE WHEN ${IS_LEFT_OUT} THEN '${'MESSAGE_REFUSED' satisfies FailureCode}' WHEN m.error IN ('${FAILURE_CODES.join("', '")}') THEN m.error ELSE '${UNKNOWN_FAILURE}' END`
const FAILURE = `CASE WHEN ${HAS_FAILURE} THEN ${FAILURE_CODE} END AS failure`

/** The author's name. Needs `WITH_NAMES`. */
const NAME = 'coalesce(m.agent_name, u.username, u.name, b.name)'

/** A column of a message that was not deleted. A server of an earlier version does not clear columns that it does not know. */
const KEPT = (column: 'parts' | 'metadata') => `CASE WHEN m.status <> 'deleted' THEN m.${column} END`

/** Selects a message from `messages m` as clients see it. `shown` then removes the fields that it does not have. */
export const MESSAGE = `m.id, m.rev, m.sender, ${NAME} AS username, m.text, m.status, m.created_at, ${KEPT('parts')} AS parts, ${KEPT('metadata')} AS metadata, ${FAILURE}`

/** The columns of a query that selects `MESSAGE`. */
export const MESSAGE_COLUMNS = 'id, rev, sender, username, text, status, created_at, parts, metadata, failure'

/** A row of `MESSAGE`. Fields that a message does not have are null. */
export type MessageRow = Omit<Message, Optional> & { [field in Optional]: Message[field] | null }
type Optional = 'parts' | 'metadata' | 'failure'

/** Makes a message of a row. Optional fields are left out where they are null. */
export function shown<T extends MessageRow> ({ parts, metadata, failure, ...message }: T): Omit<T, Optional> & Message {
  return { ...message, ...parts !== null && { parts }, ...metadata !== null && { metadata }, ...failure !== null && { failure } }
}

/** How many bytes a message takes, from columns of `messages` without an alias. Postgres knows these lengths without reading long values. */
export const MESSAGE_BYTES = 'octet_length(text) + coalesce(pg_column_size(parts), 0) + coalesce(pg_column_size(metadata), 0)'

/**
 * Selects the same as JSON text, written by Postgres: parsing and serialising a page of rows in Node takes several times as
 * long. It is concatenated by hand, because `row_to_json` of a subquery takes half as long again and writes null fields.
 */
export const MESSAGE_JSON = `(
  '{"id":' || m.id || ',"rev":' || m.rev || ',"sender":"' || m.sender || '","username":' || coalesce(to_json(${NAME})::text, 'null') ||
  ',"text":' || to_json(m.text) || (
    ',"status":"' || m.status || '","created_at":"' || ${jsonTime('m.created_at')} || '"' || coalesce(',"parts":' || ${KEPT('parts')}, '') || coalesce(',"metadata":' || ${KEPT('metadata')}, '') ||
    CASE WHEN ${HAS_FAILURE} THEN ',"failure":"' || ${FAILURE_CODE} || '"}' ELSE '}' END
  )
)`

/**
 * Whether a message has changed since it was added. A query for revs of changed messages must say so to use their index; the rev of all
 * others is their id.
 */
export const IS_CHANGED = (alias: string) => `${alias}.rev <> ${alias}.id`

/** Joins the author's name to `messages m`. */
export const WITH_NAMES = 'LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id'
export const FROM_MESSAGES = `FROM messages m ${WITH_NAMES}`
