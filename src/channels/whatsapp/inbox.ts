import type { IdentityStore } from '../../accounts/identity-store.ts'
import type { Amend } from '../../conversations/messages/amend.ts'
import type { Converse } from '../../conversations/converse.ts'
import type { Replies } from '../../replies/replies.ts'
import type { Log } from '../../log/log.ts'
import type { JobLocks } from '../../db/job-lock.ts'
import { ACCOUNT_LOCKED, BUDGET_SPENT, IDEMPOTENCY_MISMATCH, MESSAGE_NOT_FOUND, NOT_THE_LAST_REPLY } from '../../errors.ts'
import { addressesOf, type Contact } from './addresses.ts'
import { countJoinable, createChanges, joined, type Read } from './changes.ts'
import type { WhatsAppClient } from './client.ts'
import type { DeliveryStore } from './deliveries-store.ts'
import type { InboxStore, WaitingMessage } from './inbox-store.ts'
import { partsOf } from './parts.ts'
import { readMessage, readStatus, type ContactMessage } from './reading.ts'

/** Sent to a contact whose token budget for today is spent. */
const BUDGET_SPENT_REPLY = 'Sorry, I cannot answer any more today. Please write again tomorrow.'

/** In seconds: how long we wait before we look again at a reply that is still being written. */
const POLL_INTERVAL_SECONDS = 1

/** In seconds: a streaming bot answers all messages that arrive within this time as one. */
const BATCH_WINDOW_SECONDS = 2

/** In milliseconds: how long after one typing indicator we send the next. Meta shows it for 25 seconds. */
const TYPING_SHOWN_MS = 20_000

export interface InboxOptions {
  inbox: InboxStore
  deliveries: DeliveryStore
  identities: IdentityStore
  locks: JobLocks
  log: { converse: Converse, regenerate: Replies['resume'], amend: Amend, recall: Log['recall'] }
  /** Whether the bot of this name streams its replies. Such a bot is asked once for several messages. */
  isStreaming: (bot: string) => Promise<boolean>
  client: WhatsAppClient
  /** The name of the bot that answers. */
  bot: string
}

/**
 * Makes the job that processes a contact's inbox, one message after the other, until it is empty. It can be repeated after
 * a crash: WhatsApp's id is the message's client id in the log, so the message is stored once, and its replies get the same
 * rows in the ledger.
 */
export function createInbox ({ inbox, deliveries, identities, locks, log, isStreaming, client, bot }: InboxOptions) {
  const changes = createChanges({ inbox, identities, amend: log.amend })
  const shownAt = new Map<string, number>()
  const isMove = (body: Buffer) => readMessage(body).successor !== undefined
  const identify = (contact: ContactMessage) => identities.identify(addressesOf(contact), contact)

  async function move (contact: ContactMessage, { userId, phone }: Contact) {
    const address = userId ?? phone
    const hasLeftNumber = phone !== undefined && contact.phone !== phone
    if (address !== undefined) await identities.move(addressesOf(contact), address, hasLeftNumber ? contact.phone : undefined)
  }

  /**
   * Answers the next message. A streaming bot is asked once for all messages that arrive within `BATCH_WINDOW_SECONDS`, and
   * for those that arrived while it was busy. Returns false when the job has to come back later.
   */
  async function answerInTurn (contact: string, waiting: WaitingMessage) {
    // Messages that an earlier attempt has joined stay joined, whichever bot answers now: they are one message in the log.
    if (waiting.togetherWith === null) {
      if (isMove(waiting.body) || !await isStreaming(bot)) return await answer(contact, waiting, [waiting])
      if (waiting.secondsHere < BATCH_WINDOW_SECONDS) return false
    }
    const all = await inbox.gather(contact, waiting, async all => countJoinable(await changes.read(contact, all)))
    return await answer(contact, all.find(({ id }) => id === waiting.togetherWith) ?? waiting, all)
  }

  /** Answers messages as one. Returns false while the bot is still writing, true when the next message may follow. */
  async function answer (contact: string, first: WaitingMessage, all: WaitingMessage[]) {
    let canAnswer = true
    for (const { sentAt } of all) canAnswer = await inbox.heardOf(contact, sentAt)
    const said = await changes.read(contact, all)
    for (const one of said) if (one.successor !== undefined) await move(one, one.successor)
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

  /** Gives the bot's replies, in parts; undefined while one is still being written. */
  async function ask ({ whatsappId }: WaitingMessage, said: Read[]) {
    const author = await identify(said.at(-1)!)
    const incoming: Parameters<Converse>[0] = {
      author: { id: author, username: null },
      to: { newestOf: 'whatsapp', bot },
      text: joined(said)!,
      clientId: whatsappId,
      // A fixed answer takes the bot's place only when none of the messages has text that the bot can understand.
      ...said.every(({ answer }) => answer !== undefined) && { answer: said.at(-1)!.answer }
    }
    const answered = await log.converse(incoming).catch(async (error: unknown) => {
      // The contact has edited the message since the bot was asked, so its text differs. Find what is stored by its client id.
      if (error instanceof IDEMPOTENCY_MISMATCH) return await log.recall(author, whatsappId)
      // Do not let these two fail the job: trying again would not help, and the contact's next messages would have to wait.
      if (error instanceof BUDGET_SPENT) return await log.converse({ ...incoming, answer: BUDGET_SPENT_REPLY })
      if (error instanceof ACCOUNT_LOCKED) return undefined
      throw error
    })
    if (answered === undefined) return []
    const { conversation, messages: [, ...replies] } = answered
    let isWriting = false
    for (const { id, status } of replies) {
      if (status === 'streaming' || status === 'queued') isWriting = true
      // The instance that wrote it died or shut down, or the message was edited: generate the reply again, in the same row.
      else if (status === 'interrupted' || status === 'stopped') isWriting = await askAgain(author, { conversation, id }) || isWriting
    }
    // Asked for again, by its id, the same message tells how far its replies are.
    return isWriting ? undefined : replies.flatMap(reply => partsIn(conversation, reply))
  }

  /**
   * Generates a reply again, in the same row. False when that is not possible, because other messages follow, or because
   * the bot was deleted or does not stream any more. Then the contact gets the text that there is.
   */
  async function askAgain (author: number, place: { conversation: number, id: number }) {
    return await log.regenerate(author, place).then(() => true, (error: unknown) => {
      if (error instanceof NOT_THE_LAST_REPLY || error instanceof MESSAGE_NOT_FOUND) return false
      throw error
    })
  }

  /** Gives the replies to messages that were deleted after the bot had answered. */
  async function whatWasSaid ({ whatsappId }: WaitingMessage, said: ContactMessage[]) {
    const author = await identities.find(addressesOf(said[0]!))
    const recalled = author === undefined ? undefined : await log.recall(author, whatsappId)
    return recalled === undefined ? [] : recalled.messages.slice(1).flatMap(reply => partsIn(recalled.conversation, reply))
  }

  function partsIn (conversation: number, reply: { id: number, text: string, status: string }) {
    return partsOf(reply).map((_text, part) => ({ conversation, message: reply.id, part }))
  }

  /**
   * Marks the messages as read and shows the typing indicator. A reply may take longer than Meta shows it, and this is called
   * at every poll, so it is sent again only after `TYPING_SHOWN_MS`.
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
