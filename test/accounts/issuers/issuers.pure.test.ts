import t from 'tap'
import { mock } from 'node:test'
import { SignJWT } from 'jose'
import { createIssuers } from '../../../src/accounts/issuers/issuers.ts'

const secret = 's'.repeat(32)
const use = { userAgent: undefined, ip: '127.0.0.1' }
const seconds = () => Math.floor(Date.now() / 1000)
const sign = async (sub: string, exp = seconds() + 600) =>
  await new SignJWT({ iss: 'my-app', aud: 'parley', sub, exp }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret))

/** Creates the real issuers with a fake store: the id of a session is the subject as a number. */
function setUp (most?: number) {
  const entered: string[] = []
  const issuers = createIssuers({
    issuers: [{ issuer: 'my-app', audience: 'parley', secret }],
    adminClaim: undefined,
    store: {
      enter: async ({ subject }) => {
        entered.push(subject)
        return Number(subject)
      }
    },
    createConnector: () => () => {},
    log: { warn: () => {} },
    ...most !== undefined && { most }
  })
  return { entered, sessionOf: async (token: string) => await issuers.sessionOf(token, use) }
}

t.test('the session of a token is cached, for a limited number of tokens', async t => {
  const { entered, sessionOf } = setUp(2)
  const [one, two, three] = [await sign('1'), await sign('2'), await sign('3')]
  for (const [token, id] of [[one, 1], [one, 1], [two, 2], [three, 3], [three, 3], [two, 2], [one, 1]] as const) t.equal(await sessionOf(token), id)
  t.same(entered, ['1', '2', '3', '1'])
})

t.test('a session is not cached for longer than its token is valid', async t => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.teardown(() => { mock.timers.reset() })
  const { entered, sessionOf } = setUp()
  const token = await sign('1', seconds() - 58)
  t.equal(await sessionOf(token), 1)
  mock.timers.tick(3_000)
  t.equal(await sessionOf(token), undefined)
  t.same(entered, ['1'])
})
