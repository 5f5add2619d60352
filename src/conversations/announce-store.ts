import { and, desc, eq, sql } from 'drizzle-orm'
import type { Transaction } from '../db/client.ts'
import { chatbots, conversations } from '../db/tables.ts'
import { BOT_NOT_FOUND } from '../errors.ts'
import { appendUnprompted } from '../log/unprompted-store.ts'

export interface Announcement {
  /** Who is told. They have proved only an address. */
  owner: number
  origin: 'whatsapp'
  /** The name of the bot in whose name it is said, and that takes part where a conversation is begun. */
  bot: string
  text: string
}

/**
 * Lets a bot say something that answers nothing, in somebody's newest conversation, which is begun if need be. The caller
 * tells those who follow the conversation after the commit.
 * @throws BOT_NOT_FOUND
 */
export async function announce (tx: Transaction, { owner, origin, bot, text }: Announcement): Promise<{ conversation: number, message: number }> {
  const [known] = await tx.select({ id: chatbots.id, name: chatbots.name }).from(chatbots).where(eq(chatbots.name, bot))
  if (known === undefined) throw new BOT_NOT_FOUND()
  const { id, name } = known
  let conversation = await newest()
  // Where the owner begins one at the same moment, this waits for that, begins none, and finds the owner's.
  while (conversation === undefined) {
    await tx.execute(sql`SELECT begin_conversation(in_owner => ${owner}, in_origin => ${origin}, in_name => ${name}, in_bot => ${id})`)
    conversation = await newest()
  }
  return { conversation, message: await appendUnprompted(tx, { conversation, chatbotId: id, text }) }

  /** The one that a message would go into now. */
  async function newest () {
    const isOver = sql`is_conversation_over(${conversations.origin}, ${conversations.lastUpdated})`
    const [found] = await tx.select({ id: conversations.id }).from(conversations)
      .where(and(eq(conversations.ownerId, owner), eq(conversations.origin, origin), sql`NOT ${isOver}`))
      .orderBy(desc(conversations.id)).limit(1).for('no key update')
    return found?.id
  }
}
