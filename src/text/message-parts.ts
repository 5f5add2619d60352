import { cut, isStorable, lengthOf, trimmed } from './text.ts'

// What a message is made of, where it is more than one text.

export interface Choice { id: string, title: string }
/** A page that supports the message. Its address begins with `http:` or `https:`. */
export interface Source { type: 'source', url: string, title: string }

/** A part of a reply that grows while the bot writes. `reasoning` is what a model thinks before it answers. */
export interface GrowingPart { type: 'text' | 'reasoning', text: string }

/** A part of a message. `choices` are answers to choose from, `choice` is the one that a user chose. */
export type Part =
  | GrowingPart
  | Source
  | { type: 'choices', choices: Choice[] }
  | { type: 'choice' } & Choice
  | { type: 'data', name: string, data: unknown }

/** What a bot adds to its text. */
export type Addendum = Exclude<Part, GrowingPart | { type: 'choice' }>

export const PART_TYPES = ['text', 'reasoning', 'source', 'choices', 'choice', 'data'] as const satisfies Array<Part['type']>

/** Types that will exist, and are refused until then. */
export const RESERVED_TYPES = ['file', 'tool']

/** The most parts that a user sends with a message, and that a bot adds to its text. */
export const MAX_SENT_PARTS = 10
export const MAX_PARTS = 32
/**
 * The most parts of text and reasoning that a reply has, by turns. All of them are stored again whenever the reply has grown, so that
 * a reply of 60,000 parts, which fit into its length, would burden the database and every reader.
 */
export const MAX_GROWING_PARTS = 200
export const MAX_CHOICES = 10
export const MAX_DATA_BYTES = 16 * 1024

/** Lengths in code points. */
export const MAX_CHOICE_ID_LENGTH = 255
export const MAX_TITLE_LENGTH = 300
export const MAX_DATA_NAME_LENGTH = 64
const MAX_URL_LENGTH = 2048

/** The most reasoning of one reply, in code points. Of a model that thinks longer the beginning is kept. */
export const MAX_REASONING_LENGTH = 32_000

/** The parts of a reply that grow, which come before all others. A reply without parts is one text. */
export function growingPartsOf ({ text, parts }: { text: string, parts?: Part[] | undefined }): GrowingPart[] {
  return parts === undefined ? [{ type: 'text', text }] : parts.filter((part): part is GrowingPart => part.type === 'text' || part.type === 'reasoning')
}

/** What parts say in plain words, without the reasoning. */
export function wordsOf (parts: Part[]): string {
  return trimmed(parts.flatMap(part => {
    if (part.type === 'text') return [part.text]
    if (part.type === 'choice') return [part.title]
    return part.type === 'choices' ? [part.choices.map(({ title }) => `- ${title}`).join('\n')] : []
  }).join('\n\n'))
}

/** Makes a source of what a bot or a model says. Undefined for anything but an address on the web. A source without a title has its address. */
export function sourceOf (url: unknown, title: unknown): Source | undefined {
  if (!isTextUpTo(MAX_URL_LENGTH, url) || !/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined
  const name = typeof title === 'string' && isStorable(title) ? cut(trimmed(title), MAX_TITLE_LENGTH) : ''
  return { type: 'source', url, title: name || url }
}

/** Whether it is a text of 1 to `most` code points that can be stored and seen. */
export function isTextUpTo (most: number, value: unknown): value is string {
  return typeof value === 'string' && isStorable(value) && trimmed(value) !== '' && lengthOf(value) <= most
}
