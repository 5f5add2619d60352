import { createHash } from 'node:crypto'
import { and, eq, or, sql } from 'drizzle-orm'
import { logAction } from '../../accounts/admin-log-store.ts'
import { asAdmin, NO_ISSUER, type ServerKey } from '../../accounts/keys/key-store.ts'
import { violates, type Db, type Transaction } from '../../db/client.ts'
import { chatbots, conversationBots, conversations, conversationUsers, externalUsers, messages, users } from '../../db/tables.ts'
import { BOT_NOT_FOUND, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH } from '../../errors.ts'
import type { Message } from '../../log/message.ts'
import { appendUnprompted } from '../../log/unprompted-store.ts'
import type { Part } from '../../text/message-parts.ts'
import type { Speaker } from '../schema.ts'
import { messageAt } from './store.ts'

export type PostStore = ReturnType<typeof createPostStore>

/** A message that a server writes as one of the conversation's bots, or as a human agent. No bot replies to it. */
export interface Post {
  conversation: number
  text: string
  parts: Part[] | undefined
  metadata: Record<string, unknown> | undefined
  as: Speaker
  clientId: string | undefined
}

/** A message that was stored in a WhatsApp conversation, whose owner is the contact. */
export interface WhatsAppPost { owner: number, conversation: number, message: number, text: string }

export interface PostStoreOptions {
  /** Called with the conversation after each commit. */
  changed: (conversation: number) => void
  /** Delivers a message to the phone of the contact, in the transaction that stores the message. */
  deliver: (tx: Transaction, post: WhatsAppPost) => Promise<void>
}

/** Writes messages of servers. */
export function createPostStore (db: Db, { changed, deliver }: PostStoreOptions) {
  return {
    /**
     * Stores a message, once for each client id of a key, and records it in the admin log.
     * @throws CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH
     */
    async post (key: ServerKey, post: Post): Promise<Message> {
      for (;;) {
        const message = await db.transaction(tx => append(tx, key, post)).catch(undefinedIfRaced)
        if (message === undefined) continue
        changed(post.conversation)
        return message
      }
    }
  }

  async function append (tx: Transaction, key: ServerKey, { conversation, text, parts, metadata, as, clientId }: Post): Promise<Message> {
    const { owner, origin } = await lockForServer(tx, key, conversation)
    const clientTextHash = clientId === undefined ? undefined : hashOf(text, as)
    const known = clientId === undefined ? undefined : await find(tx, key, clientId)
    if (known !== undefined) {
      if (known.conversation !== conversation || known.hash !== clientTextHash) throw new IDEMPOTENCY_MISMATCH()
      return await messageAt(tx, conversation, known.id)
    }
    const chatbotId = as.bot === undefined ? undefined : await botOf(tx, conversation, as.bot)
    const message = await appendUnprompted(tx, { conversation, text, parts, metadata, chatbotId, agentName: as.agent, serverKeyId: key.id, clientId, clientTextHash })
    await logAction(tx, asAdmin(key), 'message.post', { userId: owner, details: { conversation, message } })
    if (origin === 'whatsapp') await deliver(tx, { owner, conversation, message, text })
    return await messageAt(tx, conversation, message)
  }
}

/**
 * Locks a conversation in which a server may write: one with a user of server keys, one of a guest whom this key let in, or one on WhatsApp,
 * whose contacts are the operator's own.
 * @throws CONVERSATION_NOT_FOUND
 */
async function lockForServer (tx: Transaction, { hash }: ServerKey, id: number) {
  const hasUserOfServers = sql`EXISTS (SELECT FROM ${conversationUsers} JOIN ${externalUsers} ON ${externalUsers.userId} = ${conversationUsers.userId}
    WHERE ${conversationUsers.conversationId} = ${conversations.id} AND ${externalUsers.issuer} = ${NO_ISSUER})`
  const isOfItsGuest = sql`EXISTS (SELECT FROM ${users} WHERE ${users.id} = ${conversations.ownerId} AND ${users.apiKeyHash} = ${hash})`
  await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, id)).for('no key update')
  const [locked] = await tx.select({ owner: conversations.ownerId, origin: conversations.origin }).from(conversations)
    .where(and(eq(conversations.id, id), or(eq(conversations.origin, 'whatsapp'), hasUserOfServers, isOfItsGuest)))
  if (locked === undefined) throw new CONVERSATION_NOT_FOUND()
  return locked
}

async function find (tx: Transaction, key: ServerKey, clientId: string) {
  const [known] = await tx.select({ conversation: messages.conversationId, id: messages.id, hash: messages.clientTextHash }).from(messages)
    .where(and(eq(messages.serverKeyId, key.id), eq(messages.clientId, clientId)))
  return known
}

/** The bot of this name that takes part in the conversation. @throws BOT_NOT_FOUND */
async function botOf (tx: Transaction, conversation: number, name: string) {
  const [bot] = await tx.select({ id: chatbots.id }).from(conversationBots).innerJoin(chatbots, eq(chatbots.id, conversationBots.chatbotId))
    .where(and(eq(conversationBots.conversationId, conversation), eq(chatbots.name, name)))
  if (bot === undefined) throw new BOT_NOT_FOUND()
  return bot.id
}

function hashOf (text: string, { bot, agent }: Speaker) {
  return createHash('sha256').update(JSON.stringify([text, bot, agent])).digest('base64url')
}

/** The same client id was stored in another conversation at the same moment. Nothing was stored here, and the next attempt finds that one. */
function undefinedIfRaced (error: unknown): undefined {
  if (violates(error, 'messages_key_client_id')) return undefined
  throw error
}
