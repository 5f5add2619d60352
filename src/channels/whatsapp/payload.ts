import { createHash } from 'node:crypto'

// What is in a webhook. Nothing of it is taken for granted: what cannot be understood is a piece, too, and says why.

/** One message or status of a webhook, or what is neither, as it goes into the inbox. */
export interface Piece {
  /** The same for every delivery of the same piece. */
  id: string
  kind: 'message' | 'status' | 'unknown'
  /** Whom it is from, or went to; null for what is not understood. */
  contact: string | null
  /** WhatsApp's time. */
  sentAt: Date
  problem: string | null
  /** A webhook with this piece alone; byte for byte the one that came, when it held nothing else. */
  body: Buffer
}

/** Somebody on WhatsApp: by the user id where there is one, since a number may be hidden, or another one tomorrow. */
export interface Contact { userId: string | undefined, phone: string | undefined }

type Json = Record<string, unknown>
interface Found { kind: Piece['kind'], item: Json, contact: Json, webhook: Json, number: unknown }

/** Of Meta's ids, so that they are client ids of ours, and a status may stand behind one with a space between. */
const ID = /^[\x21-\x7e]{1,200}$/
const ADDRESS = /^[\w.+-]{1,150}$/
const STATUS = /^[a-z_]{1,30}$/

/**
 * Every piece of a webhook, each on its own: one that cannot be understood holds up no other. What is about another of
 * the app's phone numbers than `ours` is not ours to answer; without one all are.
 */
export function piecesOf (raw: Buffer, ours?: string): Piece[] {
  const found = readable(raw, () => [...walk(JSON.parse(raw.toString()))])
  if (!Array.isArray(found)) return [found]
  if (found.length === 0) return [unknown(raw, 'holds no messages and no statuses')]
  return found.map(one => readable(raw, () => describe(one, ours, found.length === 1 ? raw : Buffer.from(JSON.stringify(one.webhook)))))
}

/** What cannot be read (it is no JSON, or nested too deep) was signed, and stays for whoever wants to know what came. */
function readable<T> (raw: Buffer, read: () => T): T | Piece {
  try {
    return read()
  } catch (error) {
    return unknown(raw, `cannot be read: ${(error as Error).message.slice(0, 200).replaceAll('\0', '')}`)
  }
}

function describe ({ kind, item, contact, webhook, number }: Found, ours: string | undefined, body: Buffer): Piece {
  // What came around it may be in any order: the piece itself tells a repeat.
  if (kind === 'unknown') return unknown(body, 'is neither a message nor a status', JSON.stringify(webhook))
  if (ours !== undefined && number !== undefined && number !== ours) return unknown(body, `is a ${kind} of another phone number`, JSON.stringify(webhook))
  const id = text(item['id'])
  const { userId, phone } = kind === 'message' ? senderOf(item, contact) : recipientOf(item, contact)
  const address = userId ?? phone
  if (id === undefined || !ID.test(id)) return unknown(body, `is a ${kind} without an id`, JSON.stringify(webhook))
  if (address === undefined) return unknown(body, `is a ${kind} of nobody`, JSON.stringify(webhook))
  const common = { kind, contact: address, sentAt: timeOf(item['timestamp']), problem: null, body }
  if (kind === 'message') return { ...common, id }
  const status = text(item['status']) ?? ''
  return STATUS.test(status) ? { ...common, id: `${id} ${status}` } : unknown(body, 'is a status of no kind', JSON.stringify(webhook))
}

function unknown (body: Buffer, problem: string, piece: string | Buffer = body): Piece {
  const id = `unknown ${createHash('sha256').update(piece).digest('hex')}`
  return { id, kind: 'unknown', contact: null, sentAt: new Date(), problem, body }
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

/** A webhook's items and their contacts are two lists. Of one each they belong together, however a number is written. */
function contactsIn (contacts: unknown[]) {
  const all = contacts.map(record)
  const byUserId = new Map(all.map(contact => [contact['user_id'], contact]))
  const byPhone = new Map(all.map(contact => [contact['wa_id'], contact]))
  return ({ userId, phone }: Contact, items: unknown[]): Json =>
    (userId !== undefined && byUserId.get(userId)) || (phone !== undefined && byPhone.get(phone)) || (all.length === 1 && items.length === 1 && all[0]) || {}
}

export function senderOf (message: Json, contact: Json = {}): Contact {
  return { userId: addressIn(message['from_user_id'], contact['user_id']), phone: addressIn(message['from'], contact['wa_id']) }
}

function recipientOf (status: Json, contact: Json = {}): Contact {
  return { userId: addressIn(status['recipient_user_id'], contact['user_id']), phone: addressIn(status['recipient_id'], contact['wa_id']) }
}

function addressIn (...fields: unknown[]) {
  return fields.map(text).find(address => address !== undefined && ADDRESS.test(address))
}

/** The piece of a webhook that holds one. */
export function onlyPiece (body: Buffer): Found {
  return [...walk(JSON.parse(body.toString()))][0]!
}

/** Of seconds, in a text; what is none, or lies ahead of us, is now. */
function timeOf (timestamp: unknown) {
  const seconds = Number(timestamp)
  return new Date(seconds > 0 ? Math.min(seconds * 1000, Date.now()) : Date.now())
}

export function record (value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Json : {}
}

export function list (value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

export function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
