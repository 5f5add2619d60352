import t from 'tap'
import { run } from '../support/fuzz/run.ts'
import { createWorld } from '../support/fuzz/world.ts'

// Fuzzing: generated requests to every route and socket event. `npm run test:fuzz` sends more of them, with another seed.

const { FUZZ_SEED = '1', FUZZ_COUNT = '3000', FUZZ_AT } = process.env

t.test('every generated request gets a documented answer, and no request breaks the server', async t => {
  const [seed, count, at] = [Number(FUZZ_SEED), Number(FUZZ_COUNT), FUZZ_AT === undefined ? undefined : Number(FUZZ_AT)]
  const say = (line: string) => { for (const one of line.split('\n')) console.log(`# ${one}`) }
  const began = Date.now()
  const { found, sent, successes, asked, succeeded, targets } = await run(await createWorld(t), { seed, count, at, say })

  const share = successes() / sent()
  say(`seed ${seed}: ${sent()} different requests in ${((Date.now() - began) / 1000).toFixed(1)} s, ${(share * 100).toFixed(1)} % of them successful`)
  say(`never successful: ${[...targets].filter(name => !succeeded.get(name)).join(', ') || 'none'}`)
  for (const { target, kind, number, times, smallest, detail } of found) {
    say(`FAULT at ${target}: ${kind}, ${times} times. Seed ${seed}, request ${number}, shrunk:\n${smallest.slice(0, 3000)}\n${detail}`)
  }

  t.same(found.map(({ target, kind }) => `${target}: ${kind}`), [])
  t.equal(sent(), count, 'all of them were different')
  t.ok(share >= 0.2, 'at least a fifth of the requests succeed')
  const missing = [...targets].filter(name => Object.values(asked.get(name) ?? { none: 0 }).includes(0))
  t.same(missing.filter(name => name !== 'raw bytes'), [], 'every target got requests without login, and from a user, a guest, an admin and a server')
})
