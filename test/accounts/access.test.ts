import t from 'tap'
import { createHmac } from 'node:crypto'
import { API_KEY, SECRET, startApp } from '../support/helper.ts'
import { tokenOf } from '../support/live.ts'
import { begin, documentedRoutes, everythingIn, rightRequest, send, type Route, type Server } from '../support/routes.ts'

// Who may call which route. The tests walk over all documented routes, so a new route is included automatically.

/** Headers that authenticate nobody, by name: without a token, or with a token that must be refused. */
async function invalidCredentials ({ app, as, anyone, query }: Server): Promise<Record<string, Record<string, string>>> {
  const eve = await as('eve')
  const token = tokenOf(eve)
  const { sid, kind } = app.jwt.decode<{ sid: number, kind: 'cookie' }>(token)!
  await anyone.post('/api/logout', undefined, eve.headers)
  const [{ id }] = await query("INSERT INTO sessions (user_id, kind, expires_at) SELECT id, 'cookie', now() FROM users WHERE username = 'ann' RETURNING id")
  const [alive] = await query("SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = 'ann' AND revoked_at IS NULL AND expires_at > now() ORDER BY s.id DESC LIMIT 1")
  const anns = alive.id as number
  const claims = { sid: anns, kind: 'cookie', iss: 'parley', aud: 'session', exp: 2e9 }
  return {
    'no token': {},
    'an ended session': bearer(token),
    'an expired session': bearer(app.jwt.sign({ sid: id, kind: 'cookie' }, { expiresIn: 60 })),
    'an expired token of a session that is alive': bearer(signed('HS256', 'sha256', { ...claims, exp: 1e9 })),
    'a token without an expiry': bearer(app.jwt.sign({ sid: anns, kind: 'cookie' })),
    'a token of another kind': bearer(app.jwt.sign({ sid: anns, kind: 'guest' }, { expiresIn: 60 })),
    'a token for another purpose': bearer(app.jwt.sign({ sid: anns, kind: 'cookie' }, { aud: 'password_reset', expiresIn: 60 })),
    'a token of another issuer': bearer(app.jwt.sign({ sid: anns, kind: 'cookie' }, { iss: 'another', expiresIn: 60 })),
    'the token of a link in an email': bearer('1.ZmFrZQ'),
    'alg none': bearer(`${base64url({ alg: 'none', typ: 'JWT' })}.${base64url(claims)}.`),
    'another algorithm': bearer(signed('HS512', 'sha512', claims)),
    'a session that never existed': bearer(app.jwt.sign({ sid: sid + 1_000_000, kind }, { expiresIn: 60 })),
    'not a JWT': bearer('nonsense'),
    'another kind of credentials': { authorization: 'Basic YW5uOmNvcnJlY3QgaG9yc2U=' }
  }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

function signed (alg: string, hash: string, claims: object) {
  const content = `${base64url({ alg, typ: 'JWT' })}.${base64url(claims)}`
  return `${content}.${createHmac(hash, SECRET).update(content).digest('base64url')}`
}

t.test('a token that this test signs as the server does is accepted, so the refused ones below differ in one thing only', async t => {
  const { app, as, anyone } = await startApp(t)
  const { sid } = app.jwt.decode<{ sid: number }>(tokenOf(await as('ann')))!
  const claims = { sid, kind: 'cookie', iss: 'parley', aud: 'session', exp: 2e9 }
  t.equal((await anyone.get('/api/me', bearer(signed('HS256', 'sha256', claims)))).statusCode, 200)
})

/** Text that only Ann may read. */
const PRIVATE = /secret|ann@example\.com|Ann A\./i

t.test('every route refuses callers that it is not for, and reveals nothing to them', async t => {
  const server = await startApp(t)
  for (const route of await documentedRoutes(server)) {
    const isForGuests = route.name.endsWith('as a guest')
    const isForUsers = route.security !== undefined || isForGuests
    const ask = async (headers: Record<string, string>, url: string) => {
      const right = rightRequest(route)
      return await send(server, route, url, { ...headers, ...right.headers }, right.payload)
    }
    const complaints: string[] = []
    const expect = (who: string, { statusCode, body }: Awaited<ReturnType<typeof ask>>, expected: number[]) => {
      if (!expected.includes(statusCode)) complaints.push(`${who}: ${statusCode} instead of ${expected.join(' or ')}: ${body.slice(0, 200)}`)
      if (PRIVATE.test(body)) complaints.push(`${who}: sees data of somebody else: ${body.slice(0, 200)}`)
    }

    // The owner's request comes first: it must succeed, so that refusals below can have no other reason.
    const first = await begin(server, route)
    const success = route.example?.status ?? 200
    const owners = await ask(bearer(tokenOf(first.ann)), first.url())
    t.equal(owners.statusCode, success, `${route.name}: the owner may call it`)

    const { ann, url } = await begin(server, route)
    const nobodies = await invalidCredentials(server)
    const before = await everythingIn(server)
    for (const [who, headers] of Object.entries(nobodies)) {
      if (!isForUsers) await begin(server, route)
      expect(who, await ask(headers, url()), isForGuests ? [who === 'no token' || who.endsWith('credentials') ? 400 : 401] : isForUsers ? [401] : [success])
    }
    if (isForUsers) t.same(await everythingIn(server), before, `${route.name}: nothing was stored`)

    for (const [who, headers] of await strangers(server)) {
      if (!isForUsers) await begin(server, route)
      expect(who, await ask(headers, url()), expectedOf(route, who, success))
    }
    const finally_ = await ask(bearer(tokenOf(ann)), url())
    if (isForUsers) t.equal(finally_.statusCode, success, `${route.name}: the owner may still call it after all the others have tried`)
    t.same(complaints, [], route.name)
  }
})

/** A user and a guest, each with a conversation of their own. */
async function strangers ({ as, anyone, clientOf }: Server): Promise<Array<[who: string, headers: Record<string, string>]>> {
  const bob = await as('bob', 'another horse')
  await bob.post('/api/conversations', { name: 'Bob’s' })
  const guest = clientOf(bearer((await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().token))
  return [['a stranger', bearer(tokenOf(bob))], ['a guest', guest.headers]]
}

/**
 * The statuses that a stranger or a guest may get. A path with an id gives 404, other paths give the caller's own data.
 * Routes that ask for a password ask for the caller's own, and a guest has none.
 */
function expectedOf ({ name, path, security, responses }: Route, who: string, success: number) {
  const refusals = responses[403]?.description ?? ''
  if (name.endsWith('as a guest')) return [who === 'a guest' ? 200 : 401]
  if (security === undefined) return [success]
  if (who === 'a guest' && refusals.includes('NOT_FOR_GUESTS')) return [403]
  if (refusals.includes('NOT_AN_ADMIN')) return [403]
  if (path.includes('{')) return [404]
  if (name === 'DELETE /api/me' && who === 'a guest') return [204]
  if (['PATCH /api/me', 'DELETE /api/me'].includes(name)) return [403]
  if (name === 'POST /api/email/resend') return [409]
  return [success]
}
