import { sql } from 'drizzle-orm'
import {
  bigint, boolean, check, customType, foreignKey, index, integer, jsonb, pgEnum, pgTable, pgView, primaryKey, smallint,
  text, timestamp, unique, uniqueIndex, type AnyPgColumn
} from 'drizzle-orm/pg-core'

// Every table on one page. Times have milliseconds, as on the wire, so that a cursor made of one finds its row again.

const id = () => bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity()
const reference = () => bigint({ mode: 'number' })
const time = () => timestamp({ precision: 3, withTimezone: true })
const createdAt = () => time().notNull().defaultNow()
const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' })

/** The channel that somebody, or a conversation, came through. */
export const origin = pgEnum('origin', ['web', 'api', 'phone', 'whatsapp'])
/** The channels whose people are known only by an address and have no account. `is_contact_origin` is the same list in SQL. */
export const contactOrigins = ['phone', 'whatsapp'] as const satisfies Array<typeof origin.enumValues[number]>
export type ContactOrigin = typeof contactOrigins[number]
export const role = pgEnum('role', ['user', 'admin'])
export const sessionKind = pgEnum('session_kind', ['cookie', 'access_token', 'guest', 'issuer'])
export const engine = pgEnum('engine', ['simulated', 'guided', 'openai', 'webhook'])
export const whenBusy = pgEnum('when_busy', ['queue', 'interrupt', 'reject'])
export const sender = pgEnum('sender', ['user', 'bot'])
export const messageStatus = pgEnum('message_status',
  ['complete', 'queued', 'streaming', 'stopped', 'interrupted', 'failed', 'deleted'])
export const tokenPurpose = pgEnum('token_purpose', ['password_reset', 'email_verification'])
export const inboxKind = pgEnum('inbox_kind', ['message', 'status', 'unknown'])
export const deliveryState = pgEnum('delivery_state', ['queued', 'sent', 'delivered', 'read', 'failed', 'window_closed'])

/**
 * Keys of usernames that only the rule before gave: with characters that folding changes (ß, final sigma, iota subscript)
 * or that nobody sees, with two spaces in a row or one in front. A query uses the index when it says this word for word.
 */
export const FORMER_KEYS = (key: AnyPgColumn) => sql`${key} ~ ${sql.raw(`'[${[
  '\\u00df\\u0307\\u0345\\u034f\\u03c2\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u1c80-\\u1c88\\u1f80-\\u1f87\\u1f90-\\u1f97\\u1fa0-\\u1fa7',
  '\\u1fb2-\\u1fb4\\u1fb7\\u1fc2-\\u1fc4\\u1fc7\\u1ff2-\\u1ff4\\u1ff7\\u2800\\ufe00-\\ufe0f\\ufffc\\U00013440-\\U00013442\\U00016fe4\\U0001d159\\U000e0100-\\U000e01ef'
].join('')}]|  |^ '`)}`

/**
 * `usernameKey` is the username as it is compared: NFKC and folded case, whatever the database's locale. Accounts of the
 * rule before keep its keys, NFKC and lower case, of which those that are written otherwise today are indexed. A locked account
 * cannot log in. `picture` is the address of an image. `budgetTokens` overrides the daily token budget of the settings. `apiKeyHash` is the SHA-256, in
 * hexadecimal, of the API key that let a guest in.
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
  createdAt: createdAt(),
  lastLoginAt: time()
}, table => [
  index('users_former_keys').on(table.usernameKey).where(FORMER_KEYS(table.usernameKey)),
  uniqueIndex('users_verified_email').on(sql`lower(${table.email})`).where(sql`${table.emailVerifiedAt} IS NOT NULL`)
])

/** Who stands behind an address of a channel, as far as the channel proves it. */
export const identities = pgTable('identities', {
  channel: origin().notNull(),
  address: text().notNull(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' })
}, table => [
  primaryKey({ columns: [table.channel, table.address] }),
  index('identities_user').on(table.userId)
])

/** Users whom another issuer of tokens vouches for: its `iss` and `sub`. Nothing else, such as an e-mail address, makes two of them one. */
export const externalUsers = pgTable('external_users', {
  issuer: text().notNull(),
  subject: text().notNull(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' })
}, table => [
  primaryKey({ columns: [table.issuer, table.subject] }),
  uniqueIndex('external_users_user').on(table.userId)
])

export const sessions = pgTable('sessions', {
  id: id(),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  kind: sessionKind().notNull(),
  createdAt: createdAt(),
  lastUsedAt: time().notNull().defaultNow(),
  expiresAt: time().notNull(),
  revokedAt: time(),
  userAgent: text('user_agent'),
  ip: text()
}, table => [index('sessions_user').on(table.userId)])

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

/** Two bots differ by more than the case of their names, since `@name` names one in any case. */
export const chatbots = pgTable('chatbots', {
  id: id(),
  name: text().notNull(),
  engine: engine().notNull(),
  settings: jsonb().$type<Record<string, unknown>>().notNull().default({})
}, table => [uniqueIndex('chatbots_name').on(sql`lower(${table.name})`)])

/**
 * `state` holds each guided bot's place in its script, by the bot's id. `lastRev` counts the changes of the log.
 * An identity that proves only itself (a phone, a WhatsApp contact) has one unfinished conversation at a time.
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
  createdAt: createdAt(),
  lastUpdated: time().notNull().defaultNow()
}, table => [
  index('conversations_owner').on(table.ownerId, table.id),
  uniqueIndex('conversations_one_unfinished').on(table.ownerId)
    .where(sql`is_contact_origin(${table.origin}) AND NOT ${table.isFinished}`)
])

/**
 * `usedIn` is the minute of the conversation's `lastUpdated`, kept by triggers, by which a user's are found in order: a
 * message costs each member a write once a minute and no more.
 */
export const conversationUsers = pgTable('conversation_users', {
  conversationId: reference().notNull().references(() => conversations.id, { onDelete: 'cascade' }),
  userId: reference().notNull().references(() => users.id, { onDelete: 'cascade' }),
  joinedAt: createdAt(),
  usedIn: time().notNull().defaultNow()
}, table => [
  primaryKey({ columns: [table.conversationId, table.userId] }),
  index('conversation_users_used').on(table.userId, table.usedIn)
])

export const conversationBots = pgTable('conversation_bots', {
  conversationId: reference().notNull().references(() => conversations.id, { onDelete: 'cascade' }),
  chatbotId: reference().notNull().references(() => chatbots.id, { onDelete: 'cascade' })
}, table => [
  primaryKey({ columns: [table.conversationId, table.chatbotId] }),
  index('conversation_bots_bot').on(table.chatbotId)
])

/**
 * The log. `id` is a message's place in its conversation: the `rev` that it came with. `rev` is that of its last
 * change. `replyTo` is the place of the user's message that a bot answers; answers stand directly behind it.
 * The instance that writes a streaming reply holds its lease. `costSoFar` is what a reply has cost until now, as
 * `record_cost` takes it, for the instance that must end the reply if its writer dies. `clientTextHash` remembers what a client id was first used for, whatever becomes of the text.
 */
export const messages = pgTable('messages', {
  conversationId: reference().notNull().references(() => conversations.id, { onDelete: 'cascade' }),
  id: bigint({ mode: 'number' }).notNull(),
  rev: bigint({ mode: 'number' }).notNull(),
  sender: sender().notNull(),
  userId: reference().references(() => users.id, { onDelete: 'set null' }),
  chatbotId: reference().references(() => chatbots.id, { onDelete: 'set null' }),
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
  createdAt: createdAt()
}, table => [
  primaryKey({ columns: [table.conversationId, table.id] }),
  unique('messages_rev').on(table.conversationId, table.rev),
  uniqueIndex('messages_client_id').on(table.userId, table.clientId).where(sql`${table.clientId} IS NOT NULL`),
  index('messages_user').on(table.userId).where(sql`${table.userId} IS NOT NULL`),
  index('messages_under_way').on(table.conversationId, table.id).where(sql`${table.status} IN ('streaming', 'queued')`),
  check('messages_text_of_deleted', sql`${table.status} <> 'deleted' OR ${table.text} = ''`)
])

/**
 * What a mail's link redeems. The token itself is made from the row when the mail is, and kept nowhere. When an account is
 * deleted, its rows of the last hour stay without a user and with the SHA-256 of the address in lower case, in hexadecimal,
 * in place of the address: they still count against the mails that the address may get.
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

/** One-time links to sign up, made by an admin. `secretHash` is the SHA-256, in hexadecimal, of what the link carries. */
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
})

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

/** The workers of jobs, each of which says every few seconds that it lives. */
export const workers = pgTable('workers', {
  id: text().primaryKey(),
  seenAt: time().notNull().defaultNow()
})

/** Which job's turn it is, where those of one key are done one after the other. It counts while the job is under way. */
export const turns = pgTable('turns', {
  key: text().primaryKey(),
  job: reference().notNull(),
  /** Another job of this key came while this one worked, and ended: this one has to look once more. */
  isWanted: boolean('wanted').notNull().default(false)
})

/**
 * A contact, by the first address that WhatsApp told of it, which stays its key: the user id where there was one, else the
 * phone number. `userId` and `phone` are where it can be reached now.
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
 * At most one row: our account can send nothing, and everything that is queued is held. `isByStatus` when Meta told so by a
 * status, after it had taken a message: then `probeId`, a delivery that was taken since, has to stay without such a status
 * before the hold ends. `triedContact` is whose message was tried last.
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
 * What WhatsApp delivered, each piece of it by itself, as it came, before anybody thought about it. `whatsappId` is a
 * message's id, or that of the message that a status is about, with the status behind it. `sentAt` is WhatsApp's time.
 * `togetherWith` is the first of several messages that are answered as one. `about` is set for a deletion or an edit: the
 * `whatsappId` of the message that it changes, which may come later.
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
 * What goes out to WhatsApp: a row for each part of a reply. `queuedAt` is when it was to be sent, for the first time or
 * by a retry; before `tryAt` it is not tried again. `attemptedAt` is when a request went out whose answer we do not
 * know, `doubtedAt` since when nobody waits for that answer any more. Where `template` is set, Meta gets that and not the
 * message's text; `clientId` is what the admin who sent it calls it, and `requestHash` remembers what that was used for. The admin is not a
 * foreign key, so that deleting an account need not look through all that was sent.
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
 * Each phone of the guided chat with its newest conversation: where it is in the script of the bot that spoke last, and
 * the answers that the legacy table had columns for, in the scripts that ask for them.
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
