import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

// Sends generated requests to the whole server: npm run test:fuzz -- --count=100000 --seed=7
// Repeat a single request and show its response: npm run test:fuzz -- --seed=7 --at=1234

const { values: { at, seed = String(Math.floor(Math.random() * 2 ** 31)), count = at === undefined ? '100000' : String(Number(at) + 1) } } = parseArgs({
  options: { seed: { type: 'string' }, count: { type: 'string' }, at: { type: 'string' } }
})

console.log(`Sending ${count} requests, generated from seed ${seed}`)
const { status } = spawnSync(process.execPath, ['node_modules/tap/dist/esm/run.mjs', 'test/whole/fuzz.test.ts', '--disable-coverage', '--reporter=tap', '--timeout=14400'], {
  stdio: 'inherit',
  env: { ...process.env, FUZZ_SEED: seed, FUZZ_COUNT: count, ...at !== undefined && { FUZZ_AT: at } }
})
process.exitCode = status ?? 1
