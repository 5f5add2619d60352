import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { INVALID_CURSOR } from '../errors.ts'

/** A position in a list that is sorted by time and id, both descending. */
export interface Cursor { time: Date, id: number }

/** Encodes a position as an opaque cursor. */
export function encodeCursor ({ time, id }: Cursor): string {
  return Buffer.from(`${time.getTime()} ${id}`).toString('base64url')
}

/**
 * 14 digits of milliseconds end in the year 5138. Postgres does not read years of more than four digits.
 * @throws INVALID_CURSOR for a text that `encodeCursor` did not make
 */
export function decodeCursor (text: string): Cursor {
  const [, milliseconds, id] = /^(\d{1,14}) (\d{1,15})$/.exec(Buffer.from(text, 'base64url').toString()) ?? []
  const cursor = { time: new Date(Number(milliseconds)), id: Number(id) }
  if (milliseconds === undefined || encodeCursor(cursor) !== text) throw new INVALID_CURSOR()
  return cursor
}

/** Cuts rows to a page. One row more than the limit was read, to know whether another page follows. */
export function cutPage<T> (rows: T[], limit: number): { page: T[], hasMore: boolean } {
  return { page: rows.slice(0, limit), hasMore: rows.length > limit }
}

/**
 * About how many bytes of JSON a page has at most. One page of long messages could otherwise be 80 MB, which this process
 * would hold in memory several times over while the query holds one of its few database connections.
 */
export const PAGE_BYTES = 1024 * 1024

/** A row of a page. `more` says whether another row follows it. */
export interface JsonRow { json: string, more: boolean }

interface Rows { rows: string, order: string }

/**
 * SQL that cuts a subquery's rows to fewer than `most` rows and `limit` bytes before they are written as JSON, by the `bytes` of
 * each, and adds `more`. Postgres knows how long a long text is without reading it, and never reads those that are cut off.
 * The first row always stays, whatever its size. `cutWritten` then cuts exactly, since a text is longer as JSON.
 */
export function cutUnread ({ rows, order, bytes, most, limit = PAGE_BYTES }: Rows & { bytes: string, most: string, limit?: number }): string {
  return `
    SELECT * FROM (
      SELECT *, sum(${bytes}) OVER page AS bytes_so_far, row_number() OVER page AS nth, lead(true, 1, false) OVER page AS more
      FROM (${once(rows)}) unread
      WINDOW page AS (ORDER BY ${order} ROWS UNBOUNDED PRECEDING)
    ) measured
    WHERE nth < ${most} AND (nth = 1 OR bytes_so_far < ${limit})`
}

/** SQL that cuts a subquery's rows to `PAGE_BYTES` of their column `json`, so that the rest never leaves the database. */
export function cutWritten ({ rows, order }: Rows): string {
  return `
    SELECT * FROM (
      SELECT *, sum(octet_length(json) + 1) OVER page AS bytes_so_far, row_number() OVER page AS nth
      FROM (${once(rows)}) written
      WINDOW page AS (ORDER BY ${order} ROWS UNBOUNDED PRECEDING)
    ) measured
    WHERE nth = 1 OR bytes_so_far < ${PAGE_BYTES}
    ORDER BY ${order}`
}

/**
 * Keeps Postgres from merging a subquery into the query around it, which would compute an expression of the subquery, such
 * as a row's JSON, again wherever its column is used.
 */
const once = (rows: string) => `SELECT * FROM (${rows}) computed OFFSET 0`

/** The page of these rows. */
export function pageOf<T extends JsonRow> (rows: T[]): { page: T[], hasMore: boolean } {
  return { page: rows, hasMore: rows.at(-1)?.more ?? false }
}

/** The body of an answer to `HEAD` where the real one would cost work. Unlike an empty text it says no length. */
export const nothing = () => Readable.from([]) as never

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
