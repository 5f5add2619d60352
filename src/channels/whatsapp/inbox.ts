import type { IdentityStore } from '../../accounts/identity-store.ts'
import type { Amend } from '../../conversations/messages/amend.ts'
import type { Converse } from '../../conversations/converse.ts'
import type { Replies } from '../../replies/replies.ts'
import type { Log } from '../../log/log.ts'
import type { JobLocks } from '../../db/job-lock.ts'
import { ACCOUNT_LOCKED, BUDGET_SPENT, IDEMPOTENCY_MISMATCH, MESSAGE_NOT_FOUND, NOT_THE_LAST_REPLY } from '../../errors.ts'
import { createChanges, joined } from './changes.ts'
import type { WhatsAppClient } from './client.ts'
import type { DeliveryStore } from './deliveries-store.ts'
import type { InboxStore, WaitingMessage } from './inbox-store.ts'
import { partsOf } from './parts.ts'
import { readStatus, type ContactMessage } from './reading.ts'

/** What a contact reads whose tokens for today are spent. */
const BUDGET_SPENT_REPLY = 'Sorry, I cannot answer any more today. Please write again tomorrow.'

/** In seconds: when to look again for a reply that is being written. */
const POLL_INTERVAL_SECONDS = 1

/** In seconds: what comes within this time is answered together by a bot that thinks. */
const BATCH_WINDOW_SECONDS = 2

/** In milliseconds: how long the typing sign is taken to be seen. */
const TYPING_SHOWN_MS = 20_000

export interface InboxOptions {
  inbox: InboxStore
  deliveries: DeliveryStore
  identities: IdentityStore
  locks: JobLocks
  log: { converse: Converse, regenerate: Replies['resume'], amend: Amend, recall: Log['recall'] }
  /** Whether the bot of this name streams its replies; such a bot is asked once for messages that come together. */
  isStreaming: (bot: string) => Promise<boolean>
  client: WhatsAppClient
  /** The name of the bot that answers. */
  bot: string
}

/**
 * Works off what a contact sent, one after the other, whatever there is. Done again after a crash, a message is the same
 * message of the log, by WhatsApp's id for it, and its replies are the same rows of the ledger.
 */
export function createInbox ({ inbox, deliveries, identities, locks, log, isStreaming, client, bot }: InboxOptions) {
  const changes = createChanges({ inbox, identities, amend: log.amend })
  const shownAt = new Map<string, number>()

  /** A streaming bot is asked once for all messages of two seconds, and for those that arrived while it or we were busy. */
  async function answerInTurn (contact: string, waiting: WaitingMessage) {
    // What was begun together stays together, whichever bot answers by now: it is one message of the log.
    if (waiting.togetherWith === null) {
      if (!await isStreaming(bot)) return await answer(contact, waiting, [waiting])
      if (waiting.secondsHere < BATCH_WINDOW_SECONDS) return false
    }
    const all = await inbox.gather(contact, waiting)
    return await answer(contact, all.find(({ id }) => id === waiting.togetherWith) ?? waiting, all)
  }

  /** Answers messages as one; tells whether that is done, so that the next may follow, or the bot is still at it. */
  async function answer (contact: string, first: WaitingMessage, all: WaitingMessage[]) {
    let canAnswer = true
    for (const { sentAt } of all) canAnswer = await inbox.heardOf(contact, sentAt)
    const said = await changes.read(contact, all)
    for (const one of said) if (one.successor !== undefined) await identities.move(one, one.successor)
    const understood = said.filter(({ text, isRevoked }) => text !== undefined && !isRevoked)
    if (understood.length > 0 && canAnswer) showTyping(first.whatsappId, all.at(-1)!.whatsappId)
    const parts = understood.length > 0
      ? await ask(first, understood)
      : said.some(({ isRevoked }) => isRevoked) ? await whatWasSaid(first, said) : []
    if (parts === undefined) return false
    shownAt.delete(first.whatsappId)
    await inbox.answered(first.id, contact, parts)
    return true
  }

  /** What the bot says to it, in parts; undefined while it is being written. */
  async function ask ({ whatsappId }: WaitingMessage, said: ContactMessage[]) {
    const author = await identities.identify(said.at(-1)!)
    const incoming: Parameters<Converse>[0] = {
      author: { id: author, username: null },
      to: { newestOf: 'whatsapp', bot },
      text: joined(said)!,
      clientId: whatsappId,
      // Only what has no text is answered in the bot's place.
      ...said.every(({ answer }) => answer !== undefined) && { answer: said.at(-1)!.answer }
    }
    const answered = await log.converse(incoming).catch(async (error: unknown) => {
      // It was edited since it was asked. What it was asked with then is known by its id.
      if (error instanceof IDEMPOTENCY_MISMATCH) return await log.recall(author, whatsappId)
      // Trying the job again would not help, and the contact's next messages would wait for it.
      if (error instanceof BUDGET_SPENT) return await log.converse({ ...incoming, answer: BUDGET_SPENT_REPLY })
      if (error instanceof ACCOUNT_LOCKED) return undefined
      throw error
    })
    if (answered === undefined) return []
    const { conversation, messages: [, ...replies] } = answered
    let isWriting = false
    for (const { id, status } of replies) {
      if (status === 'streaming' || status === 'queued') isWriting = true
      // The instance that wrote it died or closed, or the message was edited: ask again, in the same row.
      else if (status === 'interrupted' || status === 'stopped') isWriting = await askAgain(author, { conversation, id }) || isWriting
    }
    // Asked for again, by its id, the same message tells how far its replies are.
    return isWriting ? undefined : replies.flatMap(reply => partsIn(conversation, reply))
  }

  /**
   * Asks again, in the same row. False when that cannot be done, because something was said since, or because the bot is
   * gone or does not stream any more: then the contact gets as much as there is, and the next message its turn.
   */
  async function askAgain (author: number, place: { conversation: number, id: number }) {
    return await log.regenerate(author, place).then(() => true, (error: unknown) => {
      if (error instanceof NOT_THE_LAST_REPLY || error instanceof MESSAGE_NOT_FOUND) return false
      throw error
    })
  }

  /** The replies to what was taken back when the bot had answered already. */
  async function whatWasSaid ({ whatsappId }: WaitingMessage, said: ContactMessage[]) {
    const recalled = await log.recall(await identities.identify(said[0]!), whatsappId)
    return recalled === undefined ? [] : recalled.messages.slice(1).flatMap(reply => partsIn(recalled.conversation, reply))
  }

  function partsIn (conversation: number, reply: { id: number, text: string, status: string }) {
    return partsOf(reply).map((_text, part) => ({ conversation, message: reply.id, part }))
  }

  /**
   * Shows that the messages were read and that an answer is being written. Meta shows it for 25 s; a bot may think longer,
   * and is looked for more often.
   */
  function showTyping (whatsappId: string, newest: string) {
    if (Date.now() - (shownAt.get(whatsappId) ?? 0) < TYPING_SHOWN_MS) return
    shownAt.set(whatsappId, Date.now())
    client.markRead(newest)
  }

  return async function workOff (contact: string, job: number): Promise<void> {
    const next = () => inbox.next(contact)
    await locks.workAlone(`whatsapp-inbox ${contact}`, job, async () => {
      for (let waiting = await next(); waiting !== undefined; waiting = await next()) {
        if (waiting.kind === 'status') {
          await deliveries.hear(waiting.id, readStatus(waiting.body))
          continue
        }
        if (waiting.about !== null) {
          await changes.apply(contact, waiting, waiting.about)
          continue
        }
        if (!await answerInTurn(contact, waiting)) return await inbox.workOffIn(contact, POLL_INTERVAL_SECONDS)
      }
    })
  }
}
