import type { IdentityStore } from '../../accounts/identity-store.ts'
import type { Amend } from '../../conversations/messages/amend.ts'
import { cut, lengthOf, MAX_MESSAGE_LENGTH } from '../../text/text.ts'
import { addressesOf } from './addresses.ts'
import type { InboxStore, WaitingMessage } from './inbox-store.ts'
import { isRevoke, readMessage, type ContactMessage } from './reading.ts'

/** A message as it is after the contact's edits. */
export interface Read extends ContactMessage {
  /** Whether the contact has deleted it. Then no bot gets it. */
  isRevoked: boolean
  /** Whether this is the text of an edit. */
  isEdited: boolean
}

export interface ChangesOptions {
  inbox: Pick<InboxStore, 'messagesWith' | 'changesOf' | 'handled'>
  identities: Pick<IdentityStore, 'find'>
  amend: Amend
}

/** Applies a contact's deletions and edits of messages, before or after these are answered. */
export function createChanges ({ inbox, identities, amend }: ChangesOptions) {
  /** Reads messages with their deletions and edits, even one that arrived before its message. */
  async function read (contact: string, all: WaitingMessage[]): Promise<Read[]> {
    const changes = await inbox.changesOf(contact, all.map(({ whatsappId }) => whatsappId))
    return all.map(({ whatsappId, body }) => {
      const mine = changes.filter(({ about }) => about === whatsappId)
      const isRevoked = mine.some(change => isRevoke(change.body))
      const edits = mine.filter(change => !isRevoke(change.body)).map(edit => readMessage(body, edit.body))
      // An edit without text is ignored.
      const edited = edits.findLast(({ text }) => text !== undefined)
      return { ...edited ?? readMessage(body), isRevoked, isEdited: edited !== undefined }
    })
  }

  return {
    read,

    /**
     * Changes the message in the log. One that is not answered yet has nothing there; `read` applies its changes later. The
     * contact may have another address by now than when the message was sent.
     */
    async apply (contact: string, { id, body }: WaitingMessage, about: string): Promise<void> {
      const all = await inbox.messagesWith(contact, about)
      const first = all.find(one => one.id === one.togetherWith) ?? all[0]
      if (first !== undefined) {
        const now = await read(contact, all)
        const text = joined(now.filter(({ isRevoked }) => !isRevoked))
        const authors = await Promise.all([now[0]!, readMessage(body)].map(async sender => await identities.find(addressesOf(sender))))
        for (const author of new Set(authors)) {
          if (author !== undefined) await amend({ author, clientId: first.whatsappId, text, isAnswered: first.isHandled })
        }
      }
      await inbox.handled(id)
    }
  }
}

/**
 * How many messages, of those that wait, are answered as one: the first, and those that fit into the longest message together with it, up
 * to one that must be processed on its own.
 */
export function countJoinable (waiting: Read[]): number {
  let length = 0
  for (const [n, { text, isRevoked, successor }] of waiting.entries()) {
    if (text !== undefined && !isRevoked) length += lengthOf(`${text}\n`)
    if (n > 0 && (successor !== undefined || length > MAX_MESSAGE_LENGTH + 1)) return n
  }
  return waiting.length
}

/**
 * Joins the texts of several messages, cut to the longest message that the log takes; undefined when there is no text. They fitted
 * when `countJoinable` chose them, so only edits make them longer. The edited texts are cut first: the other messages stay whole.
 */
export function joined (said: Read[]): string | undefined {
  const lines = said.flatMap(({ text, isEdited }) => text === undefined ? [] : [{ text, isEdited }])
  let excess = lengthOf(lines.map(({ text }) => text).join('\n')) - MAX_MESSAGE_LENGTH
  for (const line of lines.filter(({ isEdited }) => isEdited)) {
    const kept = cut(line.text, Math.max(0, lengthOf(line.text) - Math.max(0, excess)))
    excess -= lengthOf(line.text) - lengthOf(kept)
    line.text = kept
  }
  return lines.length === 0 ? undefined : cut(lines.map(({ text }) => text).join('\n'), MAX_MESSAGE_LENGTH)
}
