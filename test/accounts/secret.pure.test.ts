import t from 'tap'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { readOrMakeSecret } from '../../src/accounts/secret.ts'

// The generated secret that signs tokens.

t.test('processes that start at once use the same secret, also in containers, where they have the same process id', async t => {
  for (let round = 0; round < 20; round++) {
    const folder = path.join(t.testdir(), `data-${round}`)
    const [first, ...others] = await Promise.all([1, 2, 3].map(async () => await readOrMakeSecret(folder)))
    t.same(others, [first, first])
    t.equal(await readOrMakeSecret(folder), first)
    t.same(await readdir(folder), ['jwt-secret'])
  }
})

t.test('a start with a secret writes nothing, since the disk may be full', async t => {
  const secret = 's'.repeat(43)
  const folder = t.testdir({ 'jwt-secret': secret })
  const before = await stat(folder, { bigint: true })
  t.equal(await readOrMakeSecret(folder), secret)
  t.equal((await stat(folder, { bigint: true })).mtimeNs, before.mtimeNs)
})
