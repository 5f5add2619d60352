import type { IdentityStore } from '../../accounts/identity-store.js'
import type { Converse } from '../../conversations/converse.js'
import type { Generation } from '../../conversations/generation.js'
import type { Turns } from '../../db/turns.js'
import type { WhatsAppClient } from './client.js'
import type { DeliveryStore } from './deliveries-store.js'
import type { InboxStore, Waiting } from './inbox-store.js'
import { partsOf } from './parts.js'
import { readMessage, readStatus, type Said } from './reading.js'

/** What the bot says to whatever has no text. */
const ONLY_TEXT = 'Sorry, I can only read text messages. Please write it to me.'

/** In seconds: when to look again for a reply that is being written. */
const SOON = 1

/** In seconds: what comes within this time is answered together by a bot that thinks. */
const TOGETHER = 2

const UNFINISHED = ['streaming', 'queued', 'interrupted']

/** In milliseconds: how long the typing sign is taken to be seen. */
const TYPING = 20_000

export interface InboxOptions {
  inbox: InboxStore
  deliveries: DeliveryStore
  identities: IdentityStore
  turns: Turns
  converse: Converse
  regenerate: Generation['regenerate']
  client: WhatsAppClient
  /** The name of the bot that answers. */
  bot: string
}

/**
 * Works off what a contact sent, one after the other, whatever there is. Done again after a crash, a message is the same
 * message of the log, by WhatsApp's id for it, and its replies are the same rows of the ledger.
 */
export function createInbox ({ inbox, deliveries, identities, turns, converse, regenerate, client, bot }: InboxOptions) {
  const shownAt = new Map<string, number>()

  /** A bot that thinks is asked once for what came within two seconds, or while it was busy or we were away. */
  async function answerInTurn (contact: string, waiting: Waiting) {
    // What was begun together stays together, whichever bot answers by now: it is one message of the log.
    if (waiting.togetherWith === null) {
      if (!await inbox.isThinker(bot)) return await answer(contact, waiting, [waiting])
      if (waiting.secondsHere < TOGETHER) return false
    }
    const all = await inbox.gather(contact, waiting)
    return await answer(contact, all.find(({ id }) => id === waiting.togetherWith) ?? waiting, all)
  }

  /** Answers messages as one; tells whether that is done, so that the next may follow, or the bot is still at it. */
  async function answer (contact: string, first: Waiting, all: Waiting[]) {
    const said = all.map(({ body }) => readMessage(body))
    for (const [n, { phone }] of said.entries()) await inbox.heardOf(contact, phone, all[n]!.sentAt)
    const understood = said.filter(({ text }) => text !== undefined)
    const parts = understood.length === 0 ? [] : await ask(first, understood)
    if (parts === undefined) return false
    await inbox.answered(first.id, contact, parts)
    return true
  }

  /** What the bot says to it, in parts; undefined while it is being written. */
  async function ask ({ whatsappId }: Waiting, said: Said[]) {
    showTyping(whatsappId)
    const author = await identities.identify(said.at(-1)!)
    const { conversation, messages: [, ...replies] } = await converse({
      author: { id: author, username: null },
      to: { newestOf: 'whatsapp', bot },
      text: [...said.map(({ text }) => text).join('\n')].slice(0, 8000).join(''),
      clientId: whatsappId,
      ...!said.some(({ isText }) => isText) && { answer: ONLY_TEXT }
    })
    // Whoever wrote it died, or closed: it is asked again, in the same row.
    for (const { id, status } of replies) if (status === 'interrupted') await regenerate(author, { conversation, id })
    // Asked for again, by its id, the same message tells how far its replies are.
    if (replies.some(({ status }) => UNFINISHED.includes(status))) return undefined
    shownAt.delete(whatsappId)
    return replies.flatMap(reply => partsOf(reply).map((_text, part) => ({ conversation, message: reply.id, part })))
  }

  /** Meta shows it for 25 s; a bot may think longer, and is looked for more often. */
  function showTyping (whatsappId: string) {
    if (Date.now() - (shownAt.get(whatsappId) ?? 0) < TYPING) return
    shownAt.set(whatsappId, Date.now())
    client.markRead(whatsappId)
  }

  return async function workOff (contact: string, job: number): Promise<void> {
    const next = () => inbox.next(contact)
    let isThinking = false
    await turns.workAlone(`whatsapp-inbox ${contact}`, job, async () => {
      for (let waiting = await next(); waiting !== undefined; waiting = await next()) {
        if (waiting.kind === 'status') {
          await deliveries.hear(waiting.id, readStatus(waiting.body))
          continue
        }
        isThinking = !await answerInTurn(contact, waiting)
        if (isThinking) return await inbox.workOffIn(contact, SOON)
      }
    }, async () => !isThinking && await next() !== undefined)
  }
}
