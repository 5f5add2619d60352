import { record, text, type Json } from '../../text/untrusted-json.ts'

// Reads who a webhook is about. Meta sends a phone number, a user id, or both. A field for a number may hold a user id.

/** Somebody on WhatsApp. The user id is more reliable: a number may be hidden, or be given to somebody else later. */
export interface Contact { userId: string | undefined, phone: string | undefined }

/** The addresses of a contact, the one that identifies it first. Every contact in the inbox has at least one. */
export function addressesOf ({ userId, phone }: Contact): [string, ...string[]] {
  return [userId, phone].filter(address => address !== undefined) as [string, ...string[]]
}

const ADDRESS = /^[\w.+-]{1,150}$/
const PHONE = /^\+?(\d{3,20})$/

/** @see https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids */
export function senderOf (message: Json, contact: Json = {}): Contact {
  return contactIn(
    [message['from_user_id'], contact['user_id'], message['from_parent_user_id'], contact['parent_user_id']],
    [message['from'], contact['wa_id']])
}

export function recipientOf (status: Json, contact: Json = {}): Contact {
  return contactIn(
    [status['recipient_user_id'], contact['user_id'], status['parent_recipient_user_id'], contact['parent_user_id']],
    [status['recipient_id'], contact['wa_id']])
}

/** The new addresses of a contact, from a system message about a new number or user id; undefined for any other message. */
export function successorOf (message: Json): Contact | undefined {
  if (message['type'] !== 'system') return undefined
  const { type, user_id, parent_user_id, wa_id, new_wa_id } = record(message['system'])
  if (!/^(user|customer)_changed_(number|user_id)$/.test(String(type))) return undefined
  return contactIn([user_id, parent_user_id], [wa_id, new_wa_id])
}

/** The old addresses of a contact, from such a message. The sender's user id may be the new one already, so the old one is read from a field of its own. */
export function predecessorOf (message: Json): Contact {
  const { previous_user_id, previous_parent_user_id } = record(message['system'])
  const { userId, phone } = senderOf(message)
  return { userId: addressIn(previous_user_id, previous_parent_user_id) ?? userId, phone }
}

/**
 * Gives a function that finds the profile of an item's contact. Items and contacts are two lists in a webhook, matched by
 * address. If there is one of each they belong together, even if the number is written in two ways.
 */
export function contactsIn (contacts: unknown[]) {
  const all = contacts.map(record)
  const known = all.map(contact => ({ contact, is: senderOf({}, contact) }))
  return ({ userId, phone }: Contact, items: unknown[]): Json =>
    known.find(({ is }) => userId !== undefined && is.userId === userId)?.contact ??
    known.find(({ is }) => phone !== undefined && is.phone === phone)?.contact ??
    (all.length === 1 && items.length === 1 ? all[0]! : {})
}

/** Reads the fields for user ids and those for numbers. A field for numbers may hold a user id, unless it has digits only. */
function contactIn (ids: unknown[], numbers: unknown[]): Contact {
  const addresses = numbers.map(text).filter(address => address !== undefined && ADDRESS.test(address))
  const phone = addresses.map(address => PHONE.exec(address!)?.[1]).find(digits => digits !== undefined)
  const userId = addressIn(...ids) ?? addresses.find(address => !PHONE.test(address!))
  return { userId: userId === phone ? undefined : userId, phone }
}

function addressIn (...fields: unknown[]) {
  return fields.map(text).find(address => address !== undefined && ADDRESS.test(address))
}
