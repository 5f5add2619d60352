import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { CANNOT_START } from '../errors.ts'
import { LAST_LINE } from './backup.ts'
import { alone, removeAll } from './migrate.ts'

/** The approximate size of the chunks in which rows are sent, in characters. */
const CHUNK_LENGTH = 64 * 1024

type Lines = AsyncGenerator<string, void>

/**
 * Replaces everything in the database with a backup, made by pg_dump or by our own code. It is one transaction, so that a
 * damaged or foreign file changes nothing. The tables then have the form of the time of the backup, so that migrations may
 * be missing.
 * @throws CANNOT_START with what is wrong
 */
export async function restore (connection: pg.ClientConfig, file: string): Promise<void> {
  await alone(connection, async client => {
    await client.query('BEGIN; SET LOCAL client_encoding = \'UTF8\'')
    await removeAll(client)
    try {
      await load(client, linesOf(file))
    } catch (cause) {
      throw new CANNOT_START(`${file} cannot be restored, and nothing was changed: ${whyOf(cause as Error)}.`, { cause })
    }
    await client.query('COMMIT')
  })
}

/** Sends the rows with the COPY protocol, and runs all other lines as SQL. */
async function load (client: pg.Client, lines: Lines) {
  let sql = ''
  let isWhole = false
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    const line = next.value
    isWhole ||= line === LAST_LINE
    if (/^\\(un)?restrict /.test(line)) continue // a command of psql, written by pg_dump
    if (!/^COPY .* FROM stdin;$/.test(line)) {
      sql += `${line}\n`
      continue
    }
    await client.query(sql)
    sql = ''
    await pipeline(Readable.from(rowsOf(lines)), client.query(copyFrom(line)))
  }
  if (!isWhole) throw new Error('it is not a complete backup')
  await client.query(sql)
}

/** Gives the rows of a table, up to the line that ends them. */
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

/** zlib says only "incorrect header check" of a file that was unzipped, or is something else. */
function whyOf ({ message }: Error) {
  return message === 'incorrect header check' ? `it is not gzipped, as backups are (${message})` : message
}

/** Splits the file into lines at \n only: rows may contain other characters that count as line breaks. */
async function * linesOf (file: string): Lines {
  const text = createGunzip()
  pipeline(createReadStream(file), text).catch(() => { /* reading the text below rejects with it */ })
  let rest = ''
  for await (const chunk of text.setEncoding('utf8') as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    yield * parts
  }
}
