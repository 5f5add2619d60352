import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Measure } from './row.ts'
import { percentile, startServer } from './server.ts'

/** How long a server is idle before its memory is measured, in milliseconds. */
const REST = 3_000

/** Measures the time from the start of the process to the first response, on an existing embedded database, and then the memory at rest. */
export const measure: Measure = async function measure ({ isQuick }) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'parley-bench-'))
  const seconds: number[] = []
  const megabytes: number[] = []
  try {
    await (await startServer({}, folder)).stop()
    for (let round = 0; round < (isQuick ? 1 : 5); round++) {
      const begin = performance.now()
      const server = await startServer({}, folder)
      try {
        await fetch(`${server.url}/health/ready`)
        seconds.push((performance.now() - begin) / 1000)
        await sleep(isQuick ? 0 : REST)
        megabytes.push(server.memory() / 1024 / 1024)
      } finally {
        await server.stop()
      }
    }
  } finally {
    await rm(folder, { recursive: true, maxRetries: 5 })
  }
  return [
    { what: 'start to first answer', unit: 's', ...held(seconds), target: '≤ 1.5', isReached: percentile(seconds, 50) <= 1.5 },
    { what: 'memory at rest', unit: 'MB', ...held(megabytes), target: '≤ 120', isReached: percentile(megabytes, 50) <= 120 }
  ]
}

function held (values: number[]): { measured: number, ratio: number, spread: [number, number] } {
  return { measured: percentile(values, 50), ratio: percentile(values, 50), spread: [Math.min(...values), Math.max(...values)] }
}
