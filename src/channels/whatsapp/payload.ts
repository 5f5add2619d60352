import { createHash } from 'node:crypto'
import { cut, storable } from '../../text/text.ts'
import { list, record, text, type Json } from '../../text/untrusted-json.ts'
import { contactsIn, predecessorOf, recipientOf, senderOf, successorOf, type Contact } from './addresses.ts'

// Takes a webhook apart. Nothing about its form is assumed: what cannot be understood becomes a piece of kind `unknown`,
// which says why, so that it can be looked at in the inbox.

/** One piece of a webhook, as it is stored in the inbox: a message, a status, or something unknown. */
export interface WebhookItem {
  /** The same for every delivery of the same piece. */
  id: string
  kind: 'message' | 'status' | 'unknown'
  /** The sender of a message, or the recipient that a status is about; null for an unknown piece. */
  contact: Contact | null
  /** The contact's new addresses, if the piece says that a number or user id has changed. */
  successor: Contact | null
  /** For a deletion or an edit: the id of the message that it changes. */
  about: string | null
  /** WhatsApp's time. */
  sentAt: Date
  problem: string | null
  /** A webhook with this piece alone. It is the original, byte for byte, if that had nothing else in it. */
  body: Buffer
}

interface Found { kind: WebhookItem['kind'], item: Json, contact: Json, webhook: Json, number: unknown }

/** Meta's ids. They can serve as our client ids, and have no space, which separates the id from the status in a status's id. */
const ID = /^[\x21-\x7e]{1,200}$/
const STATUS = /^[a-z_]{1,30}$/

/**
 * Splits a webhook into its pieces. A piece that cannot be understood does not affect the others. If `ours` is given, pieces
 * about another of the app's phone numbers become unknown ones, so that they are not answered.
 */
export function piecesOf (raw: Buffer, ours?: string): WebhookItem[] {
  const found = readable(raw, () => [...walk(JSON.parse(raw.toString()))])
  if (!Array.isArray(found)) return [found]
  if (found.length === 0) return [unknown(raw, 'holds no messages and no statuses')]
  return found.map(one => readable(raw, () => describe(one, ours, found.length === 1 ? raw : Buffer.from(JSON.stringify(one.webhook)))))
}

/** Keeps a signed body that cannot be read (not JSON, or nested too deeply) as an unknown piece, so that it can be looked at later. */
function readable<T> (raw: Buffer, read: () => T): T | WebhookItem {
  try {
    return read()
  } catch (error) {
    return unknown(raw, `cannot be read: ${storable(cut((error as Error).message, 200))}`)
  }
}

function describe ({ kind, item, contact, webhook, number }: Found, ours: string | undefined, body: Buffer): WebhookItem {
  // The id of an unknown piece is a hash of the piece itself: when Meta repeats it, other pieces may stand around it.
  if (kind === 'unknown') return unknown(body, 'is neither a message nor a status', JSON.stringify(webhook))
  if (ours !== undefined && number !== undefined && number !== ours) return unknown(body, `is a ${kind} of another phone number`, JSON.stringify(webhook))
  // Ignore groups: a message to a group must not be answered in private, and a group's statuses are not about our messages.
  if (isOfGroup(item)) return unknown(body, `is a ${kind} of a group`, JSON.stringify(webhook))
  const id = text(item['id'])
  const successor = kind === 'message' ? successorOf(item) ?? null : null
  const found = kind === 'status' ? recipientOf(item, contact) : successor === null ? senderOf(item, contact) : predecessorOf(item)
  if (id === undefined || !ID.test(id)) return unknown(body, `is a ${kind} without an id`, JSON.stringify(webhook))
  if (found.userId === undefined && found.phone === undefined) return unknown(body, `is a ${kind} of nobody`, JSON.stringify(webhook))
  const common = { kind, contact: found, successor, about: null, sentAt: timeOf(item['timestamp']), problem: null, body }
  if (kind === 'message') return isChange(item) ? describeChange({ ...common, id }, item) : { ...common, id }
  const status = text(item['status']) ?? ''
  return STATUS.test(status) ? { ...common, id: `${id} ${status}` } : unknown(body, 'is a status of no kind', JSON.stringify(webhook))
}

/** Whether a message deletes or edits an earlier one. @see https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/revoke */
function isChange ({ type }: Json): boolean {
  return type === 'revoke' || type === 'edit'
}

function describeChange (piece: WebhookItem, item: Json): WebhookItem {
  const about = text(record(item[String(item['type'])])['original_message_id'])
  return about !== undefined && ID.test(about) ? { ...piece, about } : unknown(piece.body, 'changes a message without an id', `${piece.id} changes nothing`)
}

function isOfGroup ({ group_id: group, recipient_type: recipientType }: Json) {
  return (group ?? '') !== '' || recipientType === 'group'
}

function unknown (body: Buffer, problem: string, piece: string | Buffer = body): WebhookItem {
  const id = `unknown ${createHash('sha256').update(piece).digest('hex')}`
  return { id, kind: 'unknown', contact: null, successor: null, about: null, sentAt: new Date(), problem, body }
}

function * walk (webhook: unknown): Generator<Found> {
  const { object, entry } = record(webhook)
  for (const one of list(entry)) {
    const { id, changes } = record(one)
    for (const change of list(changes)) {
      const { field, value } = record(change)
      const { messaging_product, metadata, contacts, messages, statuses } = record(value)
      const alone = (part: Json) => ({ object, entry: [{ id, changes: [{ field, value: { messaging_product, metadata, ...part } }] }] })
      const number = record(metadata)['phone_number_id']
      const contactOf = contactsIn(list(contacts))
      for (const item of list(messages).map(record)) {
        const contact = contactOf(senderOf(item), list(messages))
        yield { kind: 'message', item, contact, number, webhook: alone({ contacts: [contact], messages: [item] }) }
      }
      for (const item of list(statuses).map(record)) {
        const contact = contactOf(recipientOf(item), list(statuses))
        yield { kind: 'status', item, contact, number, webhook: alone({ contacts: [contact], statuses: [item] }) }
      }
      if (list(messages).length + list(statuses).length > 0) continue
      yield { kind: 'unknown', item: {}, contact: {}, number, webhook: { object, entry: [{ id, changes: [change] }] } }
    }
  }
}

/** Reads the piece of a webhook that has only one. */
export function onlyPiece (body: Buffer): Found {
  return [...walk(JSON.parse(body.toString()))][0]!
}

/** Reads a time in seconds. An invalid one, or one in the future, becomes the current time. */
function timeOf (timestamp: unknown) {
  const seconds = Number(timestamp)
  return new Date(seconds > 0 ? Math.min(seconds * 1000, Date.now()) : Date.now())
}
