import { sql } from 'drizzle-orm'
import {
  bigint, boolean, check, customType, foreignKey, index, integer, json, jsonb, pgEnum, pgTable, pgView, primaryKey, smallint,
  text, timestamp, unique, uniqueIndex, type AnyPgColumn
} from 'drizzle-orm/pg-core'
import { DELIVERY_STATES, ENGINES, MESSAGE_STATUSES, ORIGINS, ROLES, SENDERS, SESSION_KINDS, WHEN_BUSY, type KeyScope } from '../enums.ts'
import type { Part } from '../text/message-parts.ts'

// All tables. Times have a precision of milliseconds, as in JSON. With microseconds, a cursor made from a time would lose
// some digits and not find its row again.

const id = () => bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity()
const reference = () => bigint({ mode: 'number' })
const time = () => timestamp({ precision: 3, withTimezone: true })
const createdAt = () => time().notNull().defaultNow()
const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' })

export const origin = pgEnum('origin', ORIGINS)
export const role = pgEnum('role', ROLES)
export const sessionKind = pgEnum('session_kind', SESSION_KINDS)
export const engine = pgEnum('engine', ENGINES)
export const whenBusy = pgEnum('when_busy', WHEN_BUSY)
export const sender = pgEnum('sender', SENDERS)
export const messageStatus = pgEnum('message_status', MESSAGE_STATUSES)
export const tokenPurpose = pgEnum('token_purpose', ['password_reset', 'email_verification'])
export const inboxKind = pgEnum('inbox_kind', ['message', 'status', 'unknown'])
export const deliveryState = pgEnum('delivery_state', DELIVERY_STATES)

/**
 * Matches keys of usernames that the former rule made and today's rule would not: with characters that case folding changes
 * (ß, final sigma, iota subscript), with invisible characters, two spaces in a row or a leading space. A query must contain
 * exactly this condition to use the index.
 */
export const FORMER_KEYS = (key: AnyPgColumn) => sql`${key} ~ ${sql.raw(`'[${[
  '\\u00df\\u0307\\u0345\\u034f\\u03c2\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u1c80-\\u1c88\\u1f80-\\u1f87\\u1f90-\\u1f97\\u1fa0-\\u1fa7',
  '\\u1fb2-\\u1fb4\\u1fb7\\u1fc2-\\u1fc4\\u1fc7\\u1ff2-\\u1ff4\\u1ff7\\u2800\\ufe00-\\ufe0f\\ufffc\\U00013440-\\U00013442\\U00016fe4\\U0001d159\\U000e0100-\\U000e01ef'
].join('')}]|  |^ '`)}`

/**
 * `usernameKey` is the form in which usernames are compared: NFKC with folded case, independent of the database's locale.
 * Accounts from before this rule keep their former key, which is NFKC in lower case; those that differ from today's are
 * indexed. A locked account cannot log in. `picture` is the address of an
 * image. `budgetTokens` overrides the daily token budget of the settings. `apiKeyHash` is
 * the SHA-256, in hexadecimal, of the API key with which a guest was created. `metadata` is an object of the operator's server,
 * kept as it came, as that of `conversations`.
 */
export const users = pgTable('users', {
  id: id(),
  username: text(),
  usernameKey: text().unique('users_username_key'),
  name: text(),
  picture: text(),
  email: text(),
  emailVerifiedAt: time(),
  passwordHash: text(),
  isGuest: boolean().notNull().default(false),
  phoneNumber: text('phone_number'),
  origin: origin().notNull().default('web'),
  role: role().notNull().default('user'),
  lockedAt: time(),
  budgetTokens: integer(),
  apiKeyHash: text(),
  metadata: json().$type<Record<string, unknown>>().notNull().default({}),
  createdAt: createdAt(),
  lastLoginAt: time()
}, table => [
  index('users_former_keys').on(table.usernameKey).where(FORMER_KEYS(table.usernameKey)),
  uniqueIndex('users_verified_email').on(sql`lower(${table.email})`).where(sql`${table.emailVerifiedAt} IS NOT NULL`)
])

/** The user behind an address of a channel, such as a phone number. It proves no more about that user than the channel does. */
export const identities = pgTable('identities', {
  channel: origin().notNull(),
  address: text().notNull(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' })
}, table => [
  primaryKey({ columns: [table.channel, table.address] }),
  index('identities_user').on(table.userId)
])

/**
 * Users whom another issuer of tokens vouches for: its `iss` and `sub`. Users of server keys have an empty issuer. Nothing else,
 * such as an e-mail address, makes two of them one. `issuedAt` is when the newest token that was seen was issued, as far as tokens
 * say so: an older one does not change the user's profile.
 */
export const externalUsers = pgTable('external_users', {
  issuer: text().notNull(),
  subject: text().notNull(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  issuedAt: time()
}, table => [
  primaryKey({ columns: [table.issuer, table.subject] }),
  uniqueIndex('external_users_user').on(table.userId)
])

/** Keys with which the operator's own servers call us. `keyHash` is the SHA-256 of the key, in hexadecimal. */
export const serverKeys = pgTable('server_keys', {
  id: id(),
  name: text().notNull(),
  keyHash: text().notNull().unique('server_keys_key_hash'),
  scopes: text().array().$type<KeyScope[]>().notNull(),
  createdBy: reference().references(() => users.id, { onDelete: 'set null' }),
  createdAt: createdAt(),
  expiresAt: time(),
  lastUsedAt: time(),
  revokedAt: time()
})

/**
 * `serverKeyId` is the server key that the session was begun with. The session ends with the key. `keyHash` is the SHA-256 of a
 * personal key, in hexadecimal. Such a session has the key's name in `userAgent`.
 */
export const sessions = pgTable('sessions', {
  id: id(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  kind: sessionKind().notNull(),
  createdAt: createdAt(),
  lastUsedAt: time().notNull().defaultNow(),
  expiresAt: time().notNull(),
  revokedAt: time(),
  userAgent: text('user_agent'),
  ip: text(),
  serverKeyId: reference().references(() => serverKeys.id, { onDelete: 'cascade' }),
  keyHash: text()
}, table => [
  index('sessions_user').on(table.userId),
  index('sessions_server_key').on(table.serverKeyId).where(sql`${table.serverKeyId} IS NOT NULL`),
  uniqueIndex('sessions_key_hash').on(table.keyHash).where(sql`${table.keyHash} IS NOT NULL`)
])

/**
 * Which session the tokens of another issuer stand for. `key` is the SHA-256, in hexadecimal, of the issuer and of what names the
 * session there. Without a `sessionId` the session is over for good: its row, or its user, was deleted. `endsAt` is when
 * the last token that was seen ends.
 */
export const externalSessions = pgTable('external_sessions', {
  key: text().primaryKey(),
  sessionId: reference().references(() => sessions.id, { onDelete: 'set null' }),
  endsAt: time().notNull()
}, table => [
  index('external_sessions_session').on(table.sessionId),
  index('external_sessions_ends').on(table.endsAt)
])

/** Names are unique regardless of case, because `@name` in a message finds a bot in any case. */
export const chatbots = pgTable('chatbots', {
  id: id(),
  name: text().notNull(),
  engine: engine().notNull(),
  settings: jsonb().$type<Record<string, unknown>>().notNull().default({})
}, table => [uniqueIndex('chatbots_name').on(sql`lower(${table.name})`)])

/**
 * `state` has what each bot remembers, by the bot's id: the position in a script, or the state that a webhook sent. `lastRev` counts the changes of the log.
 * An identity that proves only itself (a phone, a WhatsApp contact) has one unfinished conversation at a time. `clientId` is
 * the owner's own id for the conversation, which a new owner does not inherit. `metadata` is kept as it came, as `json`:
 * `jsonb` would write `1e300` back as 301 digits.
 */
export const conversations = pgTable('conversations', {
  id: id(),
  name: text().notNull(),
  ownerId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  origin: origin().notNull().default('web'),
  state: jsonb().$type<Record<string, unknown>>().notNull().default({}),
  isFinished: boolean().notNull().default(false),
  lastRev: bigint({ mode: 'number' }).notNull().default(0),
  whenBusy: whenBusy().notNull().default('queue'),
  clientId: text(),
  metadata: json().$type<Record<string, unknown>>(),
  createdAt: createdAt(),
  lastUpdated: time().notNull().defaultNow()
}, table => [
  index('conversations_owner').on(table.ownerId, table.id),
  uniqueIndex('conversations_client_id').on(table.ownerId, table.clientId).where(sql`${table.clientId} IS NOT NULL`),
  uniqueIndex('conversations_one_unfinished').on(table.ownerId)
    .where(sql`is_contact_origin(${table.origin}) AND NOT ${table.isFinished}`)
])

/**
 * `usedIn` is the minute of the conversation's `lastUpdated`; triggers maintain it. A user's conversations are listed in its
 * order. Since it has only minutes, a message writes to the members' rows at most once a minute. `readRev` is the rev up to
 * which the user has read.
 */
export const conversationUsers = pgTable('conversation_users', {
  conversationId: reference().notNull().references(() => conversations.id, { onDelete: 'cascade' }),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  joinedAt: createdAt(),
  usedIn: time().notNull().defaultNow(),
  readRev: bigint({ mode: 'number' }).notNull().default(0)
}, table => [
  primaryKey({ columns: [table.conversationId, table.userId] }),
  index('conversation_users_used').on(table.userId, table.usedIn)
])

/**
 * Who is no longer in which conversation, because they left, were removed or it was deleted. A trigger adds the rows, for
 * those who were away. They are deleted after 30 days.
 */
export const goneConversations = pgTable('gone_conversations', {
  conversationId: reference().notNull(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  goneAt: createdAt()
}, table => [
  primaryKey({ columns: [table.conversationId, table.userId] }),
  index('gone_conversations_user').on(table.userId)
])

export const conversationBots = pgTable('conversation_bots', {
  conversationId: reference().notNull().references(() => conversations.id, { onDelete: 'cascade' }),
  chatbotId: reference().notNull().references(() => chatbots.id, { onDelete: 'cascade' })
}, table => [
  primaryKey({ columns: [table.conversationId, table.chatbotId] }),
  index('conversation_bots_bot').on(table.chatbotId)
])

/**
 * The log. `id` is the `rev` at which the message was added, so that ids are in order within a conversation. `rev` is that of
 * the message's last change; the index of revs has only messages that changed, because the rev of the others is their id.
 * `replyTo` is the id of the user's message that a bot answers; replies directly follow it. The instance that writes a
 * streaming reply holds its lease. `costSoFar` is what a reply has cost until now, in the form that `record_cost` takes, for
 * the instance that must end the reply if its writer dies. `clientId` is the author's own id for the message, and in a reply
 * that of the AG-UI run that asked for it. `clientTextHash` is the hash of the text for which a client id was first used,
 * even if the message is edited later. A message that a server wrote by its key, as a bot or as a human agent, has
 * `serverKeyId`, and the agent's name in `agentName`. Its client id is unique per key. `chatbotId` is not a foreign key: the
 * SQL functions keep_bots and forget_bots say why, and see to it that it never refers to a deleted bot. `parts` and
 * `metadata` are kept as they came, as `json`, and are not compressed, so that `pg_column_size` knows their length without
 * reading them.
 */
export const messages = pgTable('messages', {
  conversationId: reference().notNull().references(() => conversations.id, { onDelete: 'cascade' }),
  id: bigint({ mode: 'number' }).notNull(),
  rev: bigint({ mode: 'number' }).notNull(),
  sender: sender().notNull(),
  userId: reference().references(() => users.id, { onDelete: 'set null' }),
  chatbotId: reference(),
  replyTo: bigint({ mode: 'number' }),
  text: text().notNull(),
  status: messageStatus().notNull().default('complete'),
  error: text(),
  costSoFar: jsonb(),
  leaseOwner: text(),
  leaseUntil: time(),
  stopRequested: boolean().notNull().default(false),
  clientId: text(),
  clientTextHash: text(),
  agentName: text(),
  serverKeyId: reference().references(() => serverKeys.id, { onDelete: 'set null' }),
  createdAt: createdAt(),
  parts: json().$type<Part[]>(),
  metadata: json().$type<Record<string, unknown>>()
}, table => [
  primaryKey({ columns: [table.conversationId, table.id] }),
  uniqueIndex('messages_rev').on(table.conversationId, table.rev).where(sql`${table.rev} <> ${table.id}`),
  uniqueIndex('messages_client_id').on(table.userId, table.clientId).where(sql`${table.clientId} IS NOT NULL`),
  uniqueIndex('messages_key_client_id').on(table.serverKeyId, table.clientId).where(sql`${table.serverKeyId} IS NOT NULL`),
  index('messages_user').on(table.userId).where(sql`${table.userId} IS NOT NULL`),
  index('messages_under_way').on(table.conversationId, table.id).where(sql`${table.status} IN ('streaming', 'queued')`),
  check('messages_text_of_deleted', sql`${table.status} <> 'deleted' OR ${table.text} = ''`)
])

/**
 * The tokens in the links of mails. The token itself is computed from its row and stored nowhere. When an account is
 * deleted, its rows of the last hour stay, without the user and with a hash of the address (the SHA-256 of its lower case,
 * in hexadecimal): they still count against the number of mails that the address may get.
 */
export const oneTimeTokens = pgTable('one_time_tokens', {
  id: id(),
  purpose: tokenPurpose().notNull(),
  userId: reference().references(() => users.id, { onDelete: 'cascade' }),
  address: text().notNull(),
  createdAt: createdAt(),
  expiresAt: time().notNull(),
  usedAt: time()
}, table => [
  index('one_time_tokens_user').on(table.userId),
  index('one_time_tokens_address').on(sql`lower(${table.address})`, table.createdAt)
])

/** One-time links to sign up, made by an admin. `secretHash` is the SHA-256, in hexadecimal, of the secret in the link. */
export const invitations = pgTable('invitations', {
  id: id(),
  secretHash: text().notNull().unique('invitations_secret_hash'),
  createdBy: reference().references(() => users.id, { onDelete: 'set null' }),
  createdAt: createdAt(),
  expiresAt: time().notNull(),
  usedAt: time(),
  usedBy: reference().references(() => users.id, { onDelete: 'set null' })
})

/**
 * What admins did. Rows are only ever added: a trigger refuses every UPDATE and DELETE. The admin is not a foreign key,
 * so that deleting an account changes nothing here.
 */
export const adminLog = pgTable('admin_log', {
  id: id(),
  createdAt: createdAt(),
  adminId: reference().notNull(),
  adminName: text(),
  action: text().notNull(),
  userId: reference(),
  details: jsonb().$type<Record<string, unknown>>().notNull().default({})
}, table => [
  index('admin_log_user').on(table.userId, table.id).where(sql`${table.userId} IS NOT NULL`)
])

/**
 * What each attempt at a reply cost, in tokens. A row is written when the attempt ends, however it ends, and outlives
 * the message, the conversation, the bot and the user: it refers to the first two by number only, and keeps the bot's name.
 * `isEstimate` marks tokens that the provider did not count. `attempt` is the attempt's lease, which is new each time, so
 * that an attempt is recorded once, however often its end is stored; null for costs from before there were attempts.
 */
export const replyCosts = pgTable('reply_costs', {
  id: id(),
  createdAt: createdAt(),
  userId: reference().references(() => users.id, { onDelete: 'set null' }),
  apiKeyHash: text(),
  attempt: text().unique('reply_costs_attempt'),
  conversationId: reference(),
  messageId: bigint({ mode: 'number' }),
  botName: text(),
  model: text(),
  status: messageStatus().notNull(),
  promptTokens: integer().notNull(),
  completionTokens: integer().notNull(),
  isEstimate: boolean().notNull().default(false)
}, table => [
  index('reply_costs_user').on(table.userId, table.createdAt),
  index('reply_costs_api_key').on(table.apiKeyHash, table.createdAt).where(sql`${table.apiKeyHash} IS NOT NULL`),
  index('reply_costs_created').on(table.createdAt)
])

/** The job workers. Each sends a heartbeat every few seconds, which sets `seenAt`. */
export const workers = pgTable('workers', {
  id: text().primaryKey(),
  seenAt: time().notNull().defaultNow()
})

/** Of the jobs with the same key, one runs at a time: `job` (see `take_turn`). A row counts only while its job is running. */
export const turns = pgTable('turns', {
  key: text().primaryKey(),
  job: reference().notNull(),
  /** Set when another job of this key ended at once because this one was running. Then this one looks for work once more. */
  isWanted: boolean('wanted').notNull().default(false)
})

/**
 * A contact. Its key, `contact`, is the first address that WhatsApp gave for it: the user id if there was one, else the
 * phone number, with -2 appended if that is the key of the number's former owner. It never changes. `userId` and `phone` are its
 * current addresses.
 */
export const whatsappContacts = pgTable('whatsapp_contacts', {
  contact: text().primaryKey(),
  userId: text(),
  phone: text(),
  lastMessageAt: time()
}, table => [
  index('whatsapp_contacts_user_id').on(table.userId),
  index('whatsapp_contacts_phone').on(table.phone)
])

/**
 * Has at most one row. While there is one, our account can send nothing, and all queued messages are held. `isByStatus`:
 * Meta had accepted a message and reported the problem by a status later. Then the hold ends only when `probeId`, a delivery
 * that was accepted since, has got no such status. `triedContact` is the contact whose message was tried last.
 */
export const whatsappHolds = pgTable('whatsapp_holds', {
  id: smallint().primaryKey().default(1),
  since: time().notNull().defaultNow(),
  errorCode: integer(),
  error: text(),
  isByStatus: boolean().notNull(),
  tryAt: time().notNull(),
  triedContact: text(),
  probeId: reference()
}, table => [check('whatsapp_holds_one', sql`${table.id} = 1`)])

/**
 * What WhatsApp delivered, one row for each message or status, stored before it is processed. `whatsappId` is the id of a
 * message; for a status, it is the id of the message that it is about, a space and the status. `sentAt` is WhatsApp's time.
 * `togetherWith` is the id of the first of several messages that are answered as one. `about` is set for a deletion or an
 * edit: the `whatsappId` of the message that it changes, which may arrive later.
 */
export const whatsappInbox = pgTable('whatsapp_inbox', {
  id: id(),
  whatsappId: text().notNull().unique('whatsapp_inbox_whatsapp_id'),
  kind: inboxKind().notNull(),
  contact: text(),
  body: bytea().notNull(),
  problem: text(),
  sentAt: time().notNull(),
  togetherWith: reference(),
  about: text(),
  receivedAt: createdAt(),
  handledAt: time()
}, table => [
  index('whatsapp_inbox_waiting').on(table.contact, table.sentAt, table.id).where(sql`${table.handledAt} IS NULL`),
  index('whatsapp_inbox_received').on(table.receivedAt),
  index('whatsapp_inbox_about').on(table.about).where(sql`${table.about} IS NOT NULL`),
  index('whatsapp_inbox_statuses').on(table.contact, table.sentAt).where(sql`${table.kind} = 'status'`)
])

/**
 * The ledger of messages to WhatsApp, one row for each part of a reply. `queuedAt` is when it was queued, at first or by an
 * admin's retry. It is not tried before `tryAt`. `attemptedAt` is the time of a request whose response is not known, and
 * `doubtedAt` the time at which we stopped waiting for that response. If `template` is set, Meta gets the template and not
 * the message's text. `clientId` is the idempotency key of the admin who sent it, and `requestHash` shows whether that key
 * is used for the same request again. The admin is not a foreign key, so that deleting an account need not search this table.
 */
export const whatsappDeliveries = pgTable('whatsapp_deliveries', {
  id: id(),
  conversationId: reference().notNull(),
  messageId: bigint({ mode: 'number' }).notNull(),
  part: smallint().notNull().default(0),
  contact: text().notNull(),
  whatsappId: text().unique('whatsapp_deliveries_whatsapp_id'),
  state: deliveryState().notNull().default('queued'),
  errorCode: integer(),
  error: text(),
  attempts: integer().notNull().default(0),
  createdAt: createdAt(),
  updatedAt: time().notNull().defaultNow(),
  queuedAt: time().notNull().defaultNow(),
  tryAt: time().notNull().defaultNow(),
  attemptedAt: time(),
  doubtedAt: time(),
  template: jsonb().$type<{ name: string, language: string, variables: string[] | Record<string, string> }>(),
  adminId: reference(),
  clientId: text(),
  requestHash: text()
}, table => [
  uniqueIndex('whatsapp_deliveries_client_id').on(table.adminId, table.clientId).where(sql`${table.clientId} IS NOT NULL`),
  unique('whatsapp_deliveries_part').on(table.conversationId, table.messageId, table.part),
  foreignKey({
    columns: [table.conversationId, table.messageId],
    foreignColumns: [messages.conversationId, messages.id]
  }).onDelete('cascade'),
  index('whatsapp_deliveries_created').on(table.createdAt),
  index('whatsapp_deliveries_contact').on(table.contact, table.id),
  index('whatsapp_deliveries_queued').on(table.contact, table.id).where(sql`${table.state} = 'queued'`)
])

/**
 * Each phone of the guided chat with its newest conversation: how far it is in the script of the bot that spoke last, and
 * the answers for which the legacy table had columns. docs/compatibility.md says who relies on it.
 */
export const userSessions = pgView('user_sessions', {
  phoneNumber: text(),
  userName: text(),
  favoriteSong: text(),
  conversationState: text(),
  lastInteraction: time()
}).as(sql`
  SELECT DISTINCT ON (i.address)
    i.address AS phone_number,
    p.place -> 'answers' ->> 'name' AS user_name,
    p.place -> 'answers' ->> 'song' AS favorite_song,
    coalesce(p.place ->> 'at', 'INITIAL') AS conversation_state,
    c.last_updated AS last_interaction
  FROM identities i
  JOIN conversations c ON c.owner_id = i.user_id AND c.origin = 'phone'
  LEFT JOIN LATERAL (
    SELECT c.state -> m.chatbot_id::text AS place
    FROM messages m
    WHERE m.conversation_id = c.id AND m.chatbot_id IS NOT NULL
    ORDER BY m.id DESC LIMIT 1
  ) p ON true
  WHERE i.channel = 'phone'
  ORDER BY i.address, c.id DESC`)
