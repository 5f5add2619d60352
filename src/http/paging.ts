import type { FastifyReply, FastifyRequest } from 'fastify'
import { INVALID_CURSOR } from '../errors.js'

/** A place in a list that is sorted by a time and an id, both descending. */
export interface Cursor { time: Date, id: number }

/** An opaque text that stands for a place in a list. */
export function encodeCursor ({ time, id }: Cursor): string {
  return Buffer.from(`${time.getTime()} ${id}`).toString('base64url')
}

/**
 * 14 digits of milliseconds reach into the year 5138: a year of more than four digits Postgres would not read.
 * @throws INVALID_CURSOR for a text that `encodeCursor` did not make
 */
export function decodeCursor (text: string): Cursor {
  const [, milliseconds, id] = /^(\d{1,14}) (\d{1,15})$/.exec(Buffer.from(text, 'base64url').toString()) ?? []
  const cursor = { time: new Date(Number(milliseconds)), id: Number(id) }
  if (milliseconds === undefined || encodeCursor(cursor) !== text) throw new INVALID_CURSOR()
  return cursor
}

/** Cuts what was read, one more than asked for, to the page; the one more says whether another page follows. */
export function cutPage<T> (rows: T[], limit: number): { page: T[], hasMore: boolean } {
  return { page: rows.slice(0, limit), hasMore: rows.length > limit }
}

/** Answers with what is JSON already. */
export function sendJson (reply: FastifyReply, json: string) {
  return reply.type('application/json; charset=utf-8').send(json)
}

/** The same of a page, row by row. */
export function sendPage (reply: FastifyReply, page: Array<{ json: string }>) {
  return sendJson(reply, `[${page.map(({ json }) => json).join()}]`)
}

/** Points to the next page: this address with some of its query changed. @see RFC 8288 */
export function linkNext (request: FastifyRequest, reply: FastifyReply, change: Record<string, string | number>) {
  const query = new URLSearchParams({ ...request.query as Record<string, string>, ...change as Record<string, string> })
  reply.header('link', `<${request.url.replace(/\?.*/, '')}?${query}>; rel="next"`)
}
