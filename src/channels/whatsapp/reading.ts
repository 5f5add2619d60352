import { cut, MAX_MESSAGE_LENGTH, nameIn, storable, trimmed } from '../../text/text.ts'
import { list, record, text, type Json } from '../../text/untrusted-json.ts'
import { predecessorOf, senderOf, successorOf, type Contact } from './addresses.ts'
import type { ErrorReport } from './error-codes.ts'
import { onlyPiece } from './payload.ts'

// Reads the messages, deletions, edits and statuses that are stored in the inbox.

export interface ContactMessage extends Contact {
  /** The profile's name. */
  name: string | undefined
  /** The contact's new addresses, if the message says that a phone number or user id has changed. */
  successor: Contact | undefined
  /** The text for the log; undefined for a message that gets no answer. */
  text: string | undefined
  /** A fixed answer, for a message without text that a bot could understand. */
  answer: string | undefined
}

/** The answer to a message without text. */
const ONLY_TEXT = 'Sorry, I can only read text messages. Please write it to me.'

/** The answer to somebody who has opened the chat for the first time and not written yet. */
const WELCOME = 'Hello! Please write me a message.'

/** What the log shows for types of messages without text whose name would not be understood. Other types are shown by their name. */
const WORDS = new Map(Object.entries({
  audio: 'voice message', contacts: 'contact', nfm_reply: 'form', unsupported: 'unsupported message', request_welcome: 'chat opened'
}))

/** Types that get no answer: a reaction, and what WhatsApp itself reports about the contact. */
const UNANSWERED = ['reaction', 'system']

/** Reads a message in the inbox for the log and the bot; with the content of its edit, if there is one. */
export function readMessage (body: Buffer, edit?: Buffer): ContactMessage {
  const { item, contact } = onlyPiece(body)
  const content = edit === undefined ? item : record(record(onlyPiece(edit).item['edit'])['message'])
  const successor = successorOf(item)
  const sender = successor === undefined ? senderOf(item, contact) : predecessorOf(item)
  return { ...sender, successor, name: nameIn(storable(text(record(contact['profile'])['name']) ?? '')), ...readContent(content) }
}

/** @see https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages */
function readContent (item: Json): Pick<ContactMessage, 'text' | 'answer'> {
  const type = text(item['type']) ?? 'message'
  if (UNANSWERED.includes(type)) return { text: undefined, answer: undefined }
  if (type === 'text') return { text: clean(record(item['text'])['body'], MAX_MESSAGE_LENGTH), answer: undefined }
  const written = type === 'button' ? clean(record(item['button'])['text'], MAX_MESSAGE_LENGTH) : type === 'interactive' ? titleOf(record(item['interactive'])) : undefined
  if (written !== undefined) return { text: written, answer: undefined }
  const kind = type === 'interactive' ? text(record(item['interactive'])['type']) ?? type : type
  return { text: clean(`[${wordFor(kind)}] ${noteIn(item, type)}`, MAX_MESSAGE_LENGTH), answer: type === 'request_welcome' ? WELCOME : ONLY_TEXT }
}

/** The title of the button or list entry that the contact tapped. */
function titleOf (reply: Json) {
  return clean(record(reply['button_reply'] ?? reply['list_reply'])['title'], MAX_MESSAGE_LENGTH)
}

/** A type in words that people understand. Meta adds types now and then; a message of an unknown type is still shown. */
function wordFor (type: string) {
  return WORDS.get(type) ?? clean(type.replace(/[^\p{L}\p{N}]+/gu, ' '), 40) ?? 'message'
}

/** The text beside the actual content: a caption, the note of an order, the address in a form. */
function noteIn (item: Json, type: string) {
  const { caption, text: note, nfm_reply: form } = record(item[type])
  const { body } = record(form)
  return text(caption) ?? text(note) ?? (body === FORM_SENT ? undefined : text(body)) ?? ''
}

/** The body that WhatsApp gives every form that was sent: it says nothing about its content. */
const FORM_SENT = 'Sent'

/** Whether a change in the inbox is a deletion. Otherwise it is an edit. */
export function isRevoke (body: Buffer): boolean {
  return onlyPiece(body).item['type'] === 'revoke'
}

/** What a status says about a message: its state in the ledger, and Meta's error. */
export interface Fate {
  whatsappId: string
  state: 'sent' | 'delivered' | 'read' | 'failed' | 'window_closed' | undefined
  problem: Problem
  report: ErrorReport
}

/** What went wrong, as it is stored and shown to admins. */
export interface Problem { errorCode: number | null, error: string | null }

const STATES = new Map(Object.entries({ sent: 'sent', delivered: 'delivered', read: 'read', played: 'read', failed: 'failed' } as const))

/** Meta's code for a message to a contact who has not written for 24 hours. */
export const WINDOW_CLOSED = 131047

/** Reads a status in the inbox. */
export function readStatus (body: Buffer): Fate {
  const { item } = onlyPiece(body)
  const { problem, report } = readError(list(item['errors'])[0])
  const state = report.code === WINDOW_CLOSED ? 'window_closed' : STATES.get(String(item['status']))
  return { whatsappId: String(item['id']), state, problem, report }
}

/** Reads Meta's description of an error, in a response of the API or in a status. */
export function readError (error: unknown): { problem: Problem, report: ErrorReport } {
  const { code: given, title, message, error_subcode: subcode, is_transient: isTransient } = record(error)
  const code = codeIn(given)
  return {
    problem: { errorCode: code, error: clean(text(title) ?? message, 500) ?? null },
    report: { code, subcode: codeIn(subcode), isTransient: isTransient === true }
  }
}

/** An error code that fits into Postgres's `integer`, else null. Some proxies send it as a string. */
function codeIn (value: unknown) {
  const code = typeof value === 'string' && /^-?\d{1,10}$/.test(value) ? Number(value) : value
  return Number.isSafeInteger(code) && Math.abs(Number(code)) < 2 ** 31 ? Number(code) : null
}

/** Text that Postgres and every client can store, cut and trimmed; undefined when nothing is left. */
function clean (value: unknown, atMost: number): string | undefined {
  return trimmed(cut(trimmed(storable(text(value) ?? '')), atMost)) || undefined
}
