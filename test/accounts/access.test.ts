import t from 'tap'
import { createHmac, randomUUID } from 'node:crypto'
import { API_KEY, SECRET, startApp } from '../support/helper.ts'
import { tokenOf } from '../support/live.ts'
import type { KeyScope } from '../../src/enums.ts'
import { allowAgain, begin, documentedRoutes, everythingIn, keyWith, rightRequest, send, type Route, type Server } from '../support/routes.ts'

// Who may call which route. The tests walk over all documented routes, so a new route is included automatically.

const FOREIGN_SECRET = 'a secret that another app signs with'
const TRUSTED_ISSUERS = JSON.stringify([{ issuer: 'my-app', audience: 'parley', secret: FOREIGN_SECRET }])

/** Headers that authenticate nobody, by name: without a token, or with a token that must be refused. */
async function invalidCredentials ({ app, as, anyone, query, db }: Server): Promise<Record<string, Record<string, string>>> {
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
    'a personal key that never existed': bearer('uk_nonsense'),
    'a revoked personal key': bearer(await revokedPersonalKey()),
    'an expired token of a session that is alive': bearer(signed('HS256', 'sha256', { ...claims, exp: 1e9 })),
    'a token without an expiry': bearer(app.jwt.sign({ sid: anns, kind: 'cookie' })),
    'a token of another kind': bearer(app.jwt.sign({ sid: anns, kind: 'guest' }, { expiresIn: 60 })),
    'a token for another purpose': bearer(app.jwt.sign({ sid: anns, kind: 'cookie' }, { aud: 'password_reset', expiresIn: 60 })),
    'a token of another issuer': bearer(app.jwt.sign({ sid: anns, kind: 'cookie' }, { iss: 'another', expiresIn: 60 })),
    'the token of a link in an email': bearer('1.ZmFrZQ'),
    'alg none': bearer(`${base64url({ alg: 'none', typ: 'JWT' })}.${base64url(claims)}.`),
    'another algorithm': bearer(signed('HS512', 'sha512', claims)),
    'a session that never existed': bearer(app.jwt.sign({ sid: sid + 1_000_000, kind }, { expiresIn: 60 })),
    'a revoked server key': { ...await revokedKey(), 'x-act-as': 'eve' },
    'a server key that never existed': { ...bearer('pk_nonsense'), 'x-act-as': 'eve' },
    'a foreign user of an issuer that is not trusted': bearer(foreign('another', 'eve')),
    'a foreign user for another audience': bearer(foreign('my-app', 'eve', { aud: 'another' })),
    'not a JWT': bearer('nonsense'),
    'another kind of credentials': { authorization: 'Basic YW5uOmNvcnJlY3QgaG9yc2U=' }
  }

  async function revokedPersonalKey () {
    const ann = await as('ann')
    const { id, key } = (await ann.post('/api/me/keys', { name: 'a script' })).json()
    await ann.delete(`/api/me/keys/${id}`)
    return key as string
  }

  async function revokedKey () {
    const key = await keyWith(db, ['users', 'act', 'read', 'guests', 'v1'])
    await query('UPDATE server_keys SET revoked_at = now() WHERE id = (SELECT max(id) FROM server_keys)')
    return key
  }
}

/** A token of another issuer, for a user called so there. */
function foreign (iss: string, sub: string, changes: object = {}) {
  const content = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url({ iss, aud: 'parley', sub, exp: 2e9, ...changes })}`
  return `${content}.${createHmac('sha256', FOREIGN_SECRET).update(content).digest('base64url')}`
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
  const server = await startApp(t, { TRUSTED_ISSUERS })
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
      const mayKnow = route.path.startsWith('/api/users/') && who.startsWith('a server') && statusCode === 200
      if (PRIVATE.test(body) && !mayKnow) complaints.push(`${who}: sees data of somebody else: ${body.slice(0, 200)}`)
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
      if (!isForUsers) await allowAgain(server, route)
      expect(who, await ask(headers, url()), isForGuests ? [who === 'no token' || who.endsWith('credentials') ? 400 : 401] : isForUsers ? [401] : [success])
    }
    if (isForUsers) t.same(await everythingIn(server), before, `${route.name}: nothing was stored`)

    for (const [who, headers] of await strangers(server, route)) {
      if (!isForUsers) await allowAgain(server, route)
      expect(who, await ask(headers, url()), expectedOf(route, who, success))
    }
    const finally_ = await ask(bearer(tokenOf(ann)), url())
    if (isForUsers) t.equal(finally_.statusCode, success, `${route.name}: the owner may still call it after all the others have tried`)
    t.same(complaints, [], route.name)
  }
})

/** A user, a guest, a foreign user and a server's user, each with a conversation of their own; and servers that may not do it. */
async function strangers ({ as, anyone, clientOf, db }: Server, { path }: Route): Promise<Array<[who: string, headers: Record<string, string>]>> {
  const bob = await as('bob', 'another horse')
  await bob.post('/api/conversations', { name: 'Bob’s' })
  const guest = clientOf(bearer((await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json().token))
  // A session of its own: a deleted user comes back only with a new one.
  const mallory = bearer(foreign('my-app', 'mallory', { sid: randomUUID() }))
  await clientOf(mallory).post('/api/conversations', { name: 'Mallory’s' })
  await clientOf(await keyWith(db, ['users'])).put('/api/users/eve', { name: 'Eve' })
  const acting = async (...scopes: KeyScope[]) => ({ ...await keyWith(db, scopes), 'x-act-as': 'eve' })
  const eve = await acting('act', 'guests', 'v1')
  await clientOf(eve).post('/api/conversations', { name: 'Eve’s' })
  return [
    ['a stranger', bearer(tokenOf(bob))],
    ['a foreign user', mallory],
    ['a guest', guest.headers],
    ['a server for another user', eve],
    ['a server without a user', await keyWith(db, ['act', 'read', 'guests', 'v1'])],
    ['a server for nobody', { ...await keyWith(db, ['act', 'guests', 'v1']), 'x-act-as': 'nobody' }],
    ['a server that only reads', await acting('read', 'guests', 'v1')],
    ['a server without act, read and users', await acting('guests', 'v1')],
    // Where users are managed, this one is no stranger.
    ...path.startsWith('/api/users/') ? [] : [['a server that only manages users', await acting('users')] as [string, Record<string, string>]]
  ]
}

/**
 * The statuses that a stranger or a guest may get. A path with an id gives 404, other paths give the caller's own data.
 * Routes that ask for a password ask for the caller's own, and a guest has none.
 */
function expectedOf ({ name, method, path, security, responses }: Route, who: string, success: number) {
  const refusals = responses[403]?.description ?? ''
  const isServer = who.startsWith('a server')
  if (name.endsWith('as a guest')) return [who === 'a guest' ? 200 : 401]
  if (security === undefined) return [success]
  if (path.startsWith('/api/users/')) return [!isServer ? 401 : method === 'GET' && ['a server without a user', 'a server that only reads'].includes(who) ? 200 : 403]
  // A key with the scope `v1` needs no user there, and no other scope.
  if (path.startsWith('/v1/')) return [{ 'a server for nobody': 404, 'a server that only manages users': 403, 'a guest': 403 }[who] ?? 200]
  if (who === 'a server without a user') return [401]
  if (['a server without act, read and users', 'a server that only manages users'].includes(who) || (who === 'a server that only reads' && method !== 'GET')) return [403]
  if (who === 'a server for nobody') return [404]
  if (who === 'a guest' && refusals.includes('NOT_FOR_GUESTS')) return [403]
  if (refusals.includes('NOT_AN_ADMIN')) return [403]
  if (path.includes('{') && !path.endsWith('/ag-ui/{bot}')) return [404]
  if (name === 'DELETE /api/me' && (who === 'a guest' || who === 'a foreign user' || isServer)) return [204]
  if (['PATCH /api/me', 'DELETE /api/me'].includes(name)) return [403]
  if (name === 'POST /api/email/resend') return [409]
  if (name === 'POST /api/me/keys' && isServer) return [403]
  return [success]
}
