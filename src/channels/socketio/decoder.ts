import { Decoder } from 'socket.io-parser'
import { isCrowded, MAX_CONTAINERS } from '../../text/json-scanner.ts'

const KIB = 1024

const EVENT_LIMITS = new Map([['send_message', 1.5 * KIB * KIB], ['start_chat', 128 * KIB]])
const DEFAULT_EVENT_LIMIT = 64 * KIB

/** The longest text of an event, in UTF-16 units: enough for what its schema allows, with each character escaped. */
export function eventLimitOf (event: string | undefined) {
  return EVENT_LIMITS.get(event!) ?? DEFAULT_EVENT_LIMIT
}

/** Replaces the arguments of an event that was too long to be parsed. */
export const TOO_LONG = 'too long'

/** A packet's type, number of attachments, namespace and acknowledgement, and an event's name. */
const HEAD = /^\d?(?:\d{1,3}-)?(?:\/[^,]{0,100},)?\d{0,15}(?:\["([^"\\]{0,100})")?/

/**
 * Parses packets. Of a packet that is too long, or has too many objects and lists, it parses only what an answer needs, so that a packet of
 * a few MiB costs no more than a short one and the connection stays open. The engine disconnects clients that send even larger ones.
 */
export class BoundedDecoder extends Decoder {
  override add (packet: unknown) {
    // None of our events takes binary data. Its place is kept, so that the schema refuses it there.
    if (typeof packet !== 'string') return super.add(Buffer.alloc(0))
    const [head, name] = HEAD.exec(packet)!
    const isCrowdedPacket = packet.length > MAX_CONTAINERS && isCrowded(Buffer.from(packet)) // a shorter one is not copied
    if (packet.length <= eventLimitOf(name) && !isCrowdedPacket) return super.add(packet)
    if (name !== undefined) return super.add(`${head},"${TOO_LONG}"]`)
    if (head.startsWith('0')) return super.add(`${head}{}`)
    throw new Error('a packet that is neither an event nor a connection is too long')
  }
}
