import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { isInstalled } from './programs.ts'
import { measure as logins } from './logins.ts'
import { measure as messages } from './messages.ts'
import { hasPgbench, HOW_TO_GET_PGBENCH } from './pgbench.ts'
import type { Measure, Row } from './row.ts'
import { measure as shares } from './shares.ts'
import { measure as sockets } from './sockets.ts'
import { measure as start } from './start.ts'
import { measure as streams } from './streams.ts'
import { measure as workers } from './workers.ts'
import { measure as writers } from './writers.ts'

// Runs all measurements, one after the other, and prints one table; docs/performance.md says what each row means. With
// `--quick` it only checks in a minute that everything works, and the figures mean little. With names of files, it runs
// only those.

const MEASURES: Record<string, Measure> = { messages, writers, workers, start, logins, shares, streams, sockets }
const RESULTS = fileURLToPath(new URL('results.json', import.meta.url))

const isQuick = process.argv.includes('--quick')
const chosen = process.argv.slice(2).filter(argument => argument !== '--quick')
const said = (text: string) => process.stdout.write(`${text}\n`)

const unknown = chosen.filter(name => !Object.hasOwn(MEASURES, name))
if (unknown.length > 0) {
  process.stderr.write(`There are no measurements of this name: ${unknown.join(', ')}. There are: ${Object.keys(MEASURES).join(', ')}.\n`)
  process.exit(1)
}

const [cpu] = os.cpus()
const machine = {
  processor: `${os.availableParallelism()} × ${cpu?.model}`,
  memory: `${Math.round(os.totalmem() / 2 ** 30)} GB`,
  node: process.version,
  generator: await isInstalled('wrk') ? 'wrk' : 'autocannon',
  yardstick: await hasPgbench() ? 'pgbench' : 'none'
}
said(Object.entries(machine).map(([name, value]) => `${name} ${value}`).join(', '))
if (machine.yardstick === 'none') said(HOW_TO_GET_PGBENCH)

const HEADS = ['', 'measured', 'yardstick', 'ratio', 'spread', 'target', '']
const WIDTHS = [46, 20, 20, 8, 15, 8, 14]
const line = (cells: string[]) => cells.map((cell, column) => column === 0 ? cell.padEnd(WIDTHS[0]!) : cell.padStart(WIDTHS[column]!)).join('')
said(line(HEADS))

const rows: Row[] = []
for (const name of chosen.length > 0 ? chosen : Object.keys(MEASURES)) {
  for (const row of await MEASURES[name]!({ isQuick })) {
    rows.push(row)
    said(describe(row))
  }
}
for (const { what, note } of rows) if (note !== undefined) said(`${what}: ${note}`)
if (!isQuick && chosen.length === 0) await writeFile(RESULTS, `${JSON.stringify({ at: new Date(), machine, rows }, null, 2)}\n`)
process.exit()

function describe ({ what, measured, unit, yardstick, ratio, spread, target, isReached, hasFallen = false }: Row) {
  const figure = (value: number | undefined, unit = '') => value === undefined || Number.isNaN(value) ? '–' : `${short(value)}${unit}`
  const verdict = Number.isNaN(ratio) ? 'no yardstick' : hasFallen ? 'yardstick fell' : target === undefined ? '' : isReached ? 'reached' : 'not reached'
  return line([what, figure(measured, ` ${unit}`), figure(yardstick, ` ${unit}`), figure(ratio), `${figure(spread[0])} – ${figure(spread[1])}`, target ?? '–', verdict])
}

function short (value: number) {
  return value.toLocaleString('en', value < 100 ? { maximumFractionDigits: 2, minimumFractionDigits: 2 } : { maximumFractionDigits: 0 })
}
