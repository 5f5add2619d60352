import { and, desc, eq, sql } from 'drizzle-orm'
import type { Transaction } from '../db/client.ts'
import { chatbots, conversations } from '../db/tables.ts'
import { BOT_NOT_FOUND } from '../errors.ts'
import { appendUnprompted } from '../log/unprompted-store.ts'

export interface Announcement {
  /** The user who gets the message: a contact without an account. */
  owner: number
  origin: 'whatsapp'
  /** The name of the bot that is the author. It is also the bot of a conversation that is begun for this. */
  bot: string
  text: string
}

/**
 * Appends a bot's message that answers nothing to a contact's newest conversation, and begins one if there is none. The caller
 * notifies the conversation's followers after the commit.
 * @throws BOT_NOT_FOUND
 */
export async function announce (tx: Transaction, { owner, origin, bot, text }: Announcement): Promise<{ conversation: number, message: number }> {
  const [known] = await tx.select({ id: chatbots.id, name: chatbots.name }).from(chatbots).where(eq(chatbots.name, bot))
  if (known === undefined) throw new BOT_NOT_FOUND()
  const { id, name } = known
  let conversation = await newest()
  // If the contact begins a conversation at the same moment, this waits for it, begins none, and finds the contact's.
  while (conversation === undefined) {
    await tx.execute(sql`SELECT begin_conversation(in_owner => ${owner}, in_origin => ${origin}, in_name => ${name}, in_bot => ${id})`)
    conversation = await newest()
  }
  return { conversation, message: await appendUnprompted(tx, { conversation, chatbotId: id, text }) }

  /** The conversation that a message of the contact would be added to now. */
  async function newest () {
    const isOver = sql`is_conversation_over(${conversations.origin}, ${conversations.lastUpdated})`
    const [found] = await tx.select({ id: conversations.id }).from(conversations)
      .where(and(eq(conversations.ownerId, owner), eq(conversations.origin, origin), sql`NOT ${isOver}`))
      .orderBy(desc(conversations.id)).limit(1).for('no key update')
    return found?.id
  }
}
