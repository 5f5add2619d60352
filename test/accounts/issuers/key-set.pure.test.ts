import t from 'tap'
import type { JSONWebKeySet, JWK } from 'jose'
import { exportJWK, generateKeyPair } from 'jose'
import { createKeySet } from '../../../src/accounts/issuers/key-set.ts'

const MINUTE = 60_000
const token = { payload: '', signature: '' }
const header = (kid: string) => ({ alg: 'ES256', kid })
const { publicKey } = await generateKeyPair('ES256')
const jwk = async (kid: string): Promise<JWK> => ({ ...await exportJWK(publicKey), kid, alg: 'ES256' })

/** A key set with a fake clock, and an issuer that has these keys. */
async function setUp (...kids: string[]) {
  let time = 0
  let keys: JSONWebKeySet | Error = { keys: await Promise.all(kids.map(jwk)) }
  const failures: unknown[] = []
  let asked = 0
  const { keyOf } = createKeySet(async () => {
    asked++
    if (keys instanceof Error) throw keys
    return keys
  }, error => { failures.push(error) }, () => time)
  return {
    find: async (kid: string) => await keyOf(header(kid), token),
    wait (milliseconds: number) { time += milliseconds },
    async have (...kids: string[]) { keys = { keys: await Promise.all(kids.map(jwk)) } },
    async answer (other: unknown) { keys = other as JSONWebKeySet },
    asked: () => asked,
    failures
  }
}

t.test('keys are fetched once, even if many requests need them', async t => {
  const { find, asked } = await setUp('a')
  await Promise.all(Array.from({ length: 100 }, () => find('a')))
  t.equal(asked(), 1)
})

t.test('an unknown key id causes at most one fetch a minute', async t => {
  const { find, wait, have, asked } = await setUp('a')
  await find('a')
  await t.rejects(find('b'), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  t.equal(asked(), 1, 'the keys were fetched just before')
  wait(MINUTE)
  await have('a', 'b')
  await Promise.all([find('b'), find('b'), find('a')])
  t.equal(asked(), 2, 'the new key is fetched once, and all requests that wait for it get it')
  for (let n = 0; n < 10; n++) await t.rejects(find('c'))
  t.equal(asked(), 2)
  wait(MINUTE)
  await t.rejects(find('c'))
  await t.rejects(find('c'))
  t.equal(asked(), 3)
})

t.test('a key that the issuer has removed is refused after some minutes', async t => {
  const { find, wait, have } = await setUp('a', 'b')
  await find('a')
  await have('b')
  wait(10 * MINUTE + 1)
  await find('a')
  await new Promise(setImmediate)
  await t.rejects(find('a'), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  await find('b')
})

t.test('the keys of an issuer that cannot be reached stay valid for a day', async t => {
  const { find, wait, answer, have, asked, failures } = await setUp('a')
  await find('a')
  await answer(new Error('away'))
  for (let hour = 0; hour < 24; hour++) {
    wait(60 * MINUTE)
    await find('a')
    await new Promise(setImmediate)
  }
  t.equal(asked(), 25)
  t.match(failures, Array(24).fill({ message: 'away' }))
  wait(1)
  await t.rejects(find('a'), { code: 'UNAVAILABLE' })
  wait(5_000)
  await have('a')
  await find('a')
})

t.test('without valid keys, requests are refused at once until the next attempt', async t => {
  const { find, wait, answer, asked, failures } = await setUp('a')
  for (const rubbish of [null, [], 'text', {}, { keys: 'none' }, { keys: [null] }]) {
    await answer(rubbish)
    wait(5_000)
    const before = asked()
    await t.rejects(find('a'), { code: 'UNAVAILABLE' })
    await t.rejects(find('a'), { code: 'UNAVAILABLE' })
    t.equal(asked(), before + 1)
  }
  t.equal(failures.length, 6)
})

t.test('while an issuer publishes no keys, its tokens are neither accepted nor called invalid', async t => {
  const { find, wait, have, failures } = await setUp()
  await t.rejects(find('a'), { code: 'UNAVAILABLE' }, 'the token may be valid, and the client is to try again')
  wait(5_000)
  await have('a')
  await find('a')
  await have()
  wait(10 * MINUTE + 1)
  await find('a')
  await new Promise(setImmediate)
  await t.rejects(find('a'), { code: 'UNAVAILABLE' }, 'the issuer has withdrawn its keys')
  wait(5_000)
  await have('b')
  await find('b')
  t.match(failures, [{ message: 'It has no keys' }, { message: 'It has no keys' }], 'the log tells the operator')
})
