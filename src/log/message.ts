import { Type, type Static } from 'typebox'
import { jsonTime } from '../db/client.ts'
import { MESSAGE_STATUSES, SENDERS } from '../enums.ts'
import { FAILURE_CODES, FAILURES, LEFT_OUT, UNKNOWN_FAILURE, type FailureCode } from '../failures.ts'
import { Id, Nullable, Rev, Timestamp } from '../http/schema.ts'

// What a message is: its schema on the wire, and how it is read from the table. A field that is added here shows in every
// channel.

export const MessageSchema = Type.Object({
  id: Id,
  rev: Rev,
  sender: Type.Enum(SENDERS),
  username: Nullable(Type.String({ description: 'Whose it is, by username or, without one, by name; or the name of the bot, or of the agent as whom a server wrote' })),
  text: Type.String(),
  status: Type.Enum(MESSAGE_STATUSES),
  created_at: Timestamp,
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

/** Selects a message from `messages m` as clients see it. `shown` then removes the fields that it does not have. */
export const MESSAGE = `m.id, m.rev, m.sender, ${NAME} AS username, m.text, m.status, m.created_at, ${FAILURE}`

/** The columns of a query that selects `MESSAGE`. */
export const MESSAGE_COLUMNS = 'id, rev, sender, username, text, status, created_at, failure'

/** A row of `MESSAGE`. Fields that a message does not have are null. */
export type MessageRow = Omit<Message, 'failure'> & { failure: Message['failure'] | null }

/** Makes a message of a row. Optional fields are left out where they are null. */
export function shown<T extends MessageRow> ({ failure, ...message }: T): Omit<T, 'failure'> & Message {
  return failure === null ? message : { ...message, failure }
}

/**
 * Selects the same as JSON text, written by Postgres: parsing and serialising a page of rows in Node takes several times as
 * long. It is concatenated by hand, because `row_to_json` of a subquery takes half as long again and writes null fields.
 */
export const MESSAGE_JSON = `(
  '{"id":' || m.id || ',"rev":' || m.rev || ',"sender":"' || m.sender || '","username":' || coalesce(to_json(${NAME})::text, 'null') ||
  ',"text":' || to_json(m.text) || (
    ',"status":"' || m.status || '","created_at":"' || ${jsonTime('m.created_at')} || CASE WHEN ${HAS_FAILURE} THEN '","failure":"' || ${FAILURE_CODE} || '"}' ELSE '"}' END
  )
)`

/** Joins the author's name to `messages m`. */
export const WITH_NAMES = 'LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id'
export const FROM_MESSAGES = `FROM messages m ${WITH_NAMES}`
