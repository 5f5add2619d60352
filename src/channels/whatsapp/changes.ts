import type { IdentityStore } from '../../accounts/identity-store.ts'
import type { Amend } from '../../conversations/messages/amend.ts'
import { cut, MAX_MESSAGE_LENGTH } from '../../text/text.ts'
import type { InboxStore, WaitingMessage } from './inbox-store.ts'
import { isRevoke, readMessage, type ContactMessage } from './reading.ts'

/** A message as it is after its contact's edits. */
export interface Read extends ContactMessage {
  /** Whether its contact has deleted it: no bot may hear it. */
  isRevoked: boolean
}

export interface ChangesOptions {
  inbox: Pick<InboxStore, 'messagesWith' | 'changesOf' | 'handled'>
  identities: Pick<IdentityStore, 'identify'>
  amend: Amend
}

/** Messages that a contact deletes or edits, before or after they are answered. */
export function createChanges ({ inbox, identities, amend }: ChangesOptions) {
  /** Messages with what has become of them since, also where a deletion or an edit came before its message. */
  async function read (contact: string, all: WaitingMessage[]): Promise<Read[]> {
    const changes = await inbox.changesOf(contact, all.map(({ whatsappId }) => whatsappId))
    return all.map(({ whatsappId, body }) => {
      const mine = changes.filter(({ about }) => about === whatsappId)
      const isRevoked = mine.some(change => isRevoke(change.body))
      const edits = mine.filter(change => !isRevoke(change.body)).map(edit => readMessage(body, edit.body))
      // An edit that leaves nothing to read is no edit.
      return { ...edits.findLast(({ text }) => text !== undefined) ?? readMessage(body), isRevoked }
    })
  }

  return {
    read,

    /** Does in the log what a contact has done to a message. One that is still to be answered is read as it is then. */
    async apply (contact: string, { id }: WaitingMessage, about: string): Promise<void> {
      const all = await inbox.messagesWith(contact, about)
      const first = all.find(one => one.id === one.togetherWith) ?? all[0]
      if (first !== undefined) {
        const now = await read(contact, all)
        const author = await identities.identify(now[0]!)
        await amend({ author, clientId: first.whatsappId, text: joined(now.filter(({ isRevoked }) => !isRevoked)), isAnswered: first.isHandled })
      }
      await inbox.handled(id)
    }
  }
}

/** Several messages as one, as long as a message of the log may be; undefined where nothing is left. */
export function joined (said: ContactMessage[]): string | undefined {
  const lines = said.flatMap(({ text }) => text ?? [])
  return lines.length === 0 ? undefined : cut(lines.join('\n'), MAX_MESSAGE_LENGTH)
}
