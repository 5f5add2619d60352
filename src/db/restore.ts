import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { CANNOT_START } from '../errors.ts'
import { LAST_LINE } from './backup.ts'
import { alone, removeAll } from './migrate.ts'

/** Rows are sent in chunks of about this many characters. */
const CHUNK_LENGTH = 64 * 1024

type Lines = AsyncGenerator<string, void>

/**
 * Puts a backup, pg_dump's or our own, in the place of all that is in the database; in one transaction, so that a file
 * that is broken or not one of ours changes nothing. The tables are then as they were when it was made, which may be
 * some migrations ago.
 * @throws CANNOT_START with what is wrong
 */
export async function restore (connection: pg.ClientConfig, file: string): Promise<void> {
  await alone(connection, async client => {
    await client.query('BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL client_encoding = \'UTF8\'')
    await removeAll(client)
    try {
      await load(client, linesOf(file))
    } catch (cause) {
      throw new CANNOT_START(`${file} cannot be restored, and nothing was changed: ${(cause as Error).message}.`, { cause })
    }
    await client.query('COMMIT')
  })
}

/** Runs what stands between the rows as it is; only the rows need a protocol of their own. */
async function load (client: pg.Client, lines: Lines) {
  let sql = ''
  let isWhole = false
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    const line = next.value
    isWhole ||= line === LAST_LINE
    if (/^\\(un)?restrict /.test(line)) continue // what pg_dump says to psql
    if (!/^COPY .* FROM stdin;$/.test(line)) {
      sql += `${line}\n`
      continue
    }
    await client.query(sql)
    sql = ''
    await pipeline(Readable.from(rowsOf(lines)), client.query(copyFrom(line)))
  }
  if (!isWhole) throw new Error('it is not a whole backup')
  await client.query(sql)
}

/** What follows until the line that ends the rows of a table. */
async function * rowsOf (lines: Lines) {
  let piece = ''
  for (;;) {
    const { value: line, done } = await lines.next()
    if (done) throw new Error('it ends in the middle of a table')
    if (line === '\\.') break
    piece += `${line}\n`
    if (piece.length < CHUNK_LENGTH) continue
    yield piece
    piece = ''
  }
  yield piece
}

/** Lines end with \n and nothing else: rows may have the other characters that count as ends of lines. */
async function * linesOf (file: string): Lines {
  const text = createGunzip()
  pipeline(createReadStream(file), text).catch(() => { /* the reader of the text gets the error */ })
  let rest = ''
  for await (const chunk of text.setEncoding('utf8') as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    yield * parts
  }
}
