import { eq, sql } from 'drizzle-orm'
import type { Transaction } from '../db/client.ts'
import { chatbots, conversations, messages } from '../db/tables.ts'
import { BOT_NOT_FOUND } from '../errors.ts'
import type { Part } from '../text/message-parts.ts'

/** A message on the side of the bots that answers no message. */
export interface Unprompted {
  conversation: number
  text: string
  parts?: Part[] | undefined
  metadata?: Record<string, unknown> | undefined
  /** The bot that says it; left out: a human agent does. */
  chatbotId?: number | undefined
  agentName?: string | undefined
  /** The server key that wrote it, with its own id for the message and the hash of what it sent. */
  serverKeyId?: number
  clientId?: string | undefined
  clientTextHash?: string | undefined
}

/**
 * Appends a message that answers nothing. It takes the conversation's next rev, under the lock of the conversation. The caller tells
 * those who follow the conversation after the commit. Returns the id of the message.
 * @throws BOT_NOT_FOUND when the bot has just been deleted
 */
export async function appendUnprompted (tx: Transaction, { conversation, ...said }: Unprompted): Promise<number> {
  const { chatbotId } = said
  if (chatbotId !== undefined) {
    await tx.execute(sql`SELECT keep_bots(in_bots => ${sql.param([chatbotId])})`)
    if (await tx.$count(chatbots, eq(chatbots.id, chatbotId)) === 0) throw new BOT_NOT_FOUND()
  }
  const [taken] = await tx.update(conversations)
    .set({ lastRev: sql`${conversations.lastRev} + 1`, lastUpdated: sql`clock_timestamp()` })
    .where(eq(conversations.id, conversation)).returning({ rev: conversations.lastRev, at: conversations.lastUpdated })
  const { rev: id, at: createdAt } = taken!
  await tx.insert(messages).values({ conversationId: conversation, id, rev: id, sender: 'bot', createdAt, ...said })
  return id
}
