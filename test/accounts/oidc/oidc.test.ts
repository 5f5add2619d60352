import t, { type Test } from 'tap'
import { hkdfSync } from 'node:crypto'
import { generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from 'jose'
import type { ClientMetadata } from 'oidc-provider'
import pino from 'pino'
import { createOpenIdProvider } from '../../../src/accounts/oidc/provider.ts'
import { createFencedConnector } from '../../../src/bots/ssrf-guard.ts'
import type { Config } from '../../../src/config.ts'
import { SECRET, startApp, type Headers } from '../../support/helper.ts'
import { bearer, startIssuer, trusting } from '../../support/issuer.ts'
import { startOpenIdProvider, visitProvider } from '../../support/openid.ts'
import { freePort } from '../../support/process.ts'

// Signing in with an OpenID Connect provider, over HTTP. The button is tested in test/page/sign-in.test.ts.

const CALLBACK = 'http://localhost:5000/api/oidc/callback'
const CLIENT: ClientMetadata = { client_id: 'parley', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none' }

type Server = Awaited<ReturnType<typeof startApp>>

/** A browser with cookies, for the addresses of our server. */
function browserOf ({ app }: Pick<Server, 'app'>, origin = 'http://localhost:5000') {
  const cookies = new Map<string, string>()
  return {
    cookies,
    async open (address: string, headers: Headers = {}) {
      const { pathname, search } = new URL(address, origin)
      const answer = await app.inject({ url: pathname + search, headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '), ...headers } })
      for (const { name, value, maxAge, expires } of answer.cookies as Array<{ name: string, value: string, maxAge?: number, expires?: Date }>) {
        if (maxAge === 0 || (expires !== undefined && expires.getTime() < Date.now())) cookies.delete(name)
        else cookies.set(name, value)
      }
      return answer
    },
    async me () {
      return (await this.open('/api/me')).json()
    }
  }
}

type Browser = ReturnType<typeof browserOf>

/** Begins a sign-in, and returns the address at the provider. */
async function start (browser: Browser, returnTo?: string): Promise<string> {
  const answer = await browser.open(`/api/oidc/start${returnTo === undefined ? '' : `?return_to=${encodeURIComponent(returnTo)}`}`)
  return String(answer.headers.location)
}

/** Signs in, and returns the place of the page where it ends. */
async function signIn (browser: Browser, login: string, returnTo?: string): Promise<string> {
  return placeOf(await browser.open(await visitProvider(await start(browser, returnTo), CALLBACK, login)))
}

const placeOf = (answer: { statusCode: number, headers: { location?: unknown } }) => `${answer.statusCode} ${String(answer.headers.location)}`

async function startProvider (t: Test, client: ClientMetadata = CLIENT, accounts: Record<string, object> = {}) {
  return await startOpenIdProvider(t, () => ({
    clients: [client],
    claims: { profile: ['name', 'picture', 'preferred_username', 'role'], email: ['email', 'email_verified'] },
    clientAuthMethods: [client.token_endpoint_auth_method!],
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, ...accounts[id] }) })
  }))
}

const oidc = (issuer: string, changes: Partial<Config> = {}) => ({ OIDC_ISSUER: issuer, OIDC_CLIENT_ID: 'parley', ...changes })

t.test('a user signs in, gets an account and a session, and comes back to where they were', async t => {
  const accounts: Record<string, object> = { 'sub-1': { name: 'Ann', picture: 'https://example.com/a.png', preferred_username: 'ann', email: 'ann@example.com', email_verified: true } }
  const { issuer } = await startProvider(t, CLIENT, accounts)
  const server = await startApp(t, oidc(issuer, { ADMIN_CLAIM: 'role=boss', OIDC_NAME: 'Acme' }))
  t.same((await server.anyone.get('/api/settings')).json(), { signup: 'open', passwords: true, oidc: { name: 'Acme' } })
  const browser = browserOf(server)

  const begun = await browser.open('/api/oidc/start?return_to=%23%2Fc%2F7')
  t.match(begun.headers, { 'cache-control': 'no-store' })
  t.match(begun.cookies, [{ name: /^oidc-/, httpOnly: true, sameSite: 'Lax', path: '/', maxAge: 600 }])
  const sent = new URL(String(begun.headers.location)).searchParams
  t.match(Object.fromEntries(sent), { client_id: 'parley', response_type: 'code', scope: 'openid profile email', redirect_uri: CALLBACK, code_challenge_method: 'S256', state: /^.{40}/, nonce: /^.{40}/, code_challenge: /^.{40}/ })

  const back = await browser.open(await visitProvider(String(begun.headers.location), CALLBACK, 'sub-1'))
  t.equal(placeOf(back), '302 /#/c/7')
  t.match(back.headers, { 'cache-control': 'no-store' })
  t.same([...browser.cookies.keys()], ['session'], 'the cookie of the sign-in is gone')
  const first = await browser.me()
  t.match(first, { username: 'ann', name: 'Ann', picture: 'https://example.com/a.png', email: 'ann@example.com', is_email_verified: true, issuer, external_id: 'sub-1', role: 'user', is_guest: false })
  t.match((await browser.open('/api/me/sessions')).json(), [{ kind: 'cookie', is_current: true }])

  await t.test('the next sign-in updates the user, and ends the session before it', async t => {
    accounts['sub-1'] = { name: 'Ann A.', role: ['boss'] }
    t.equal(await signIn(browser, 'sub-1'), '302 /#/')
    t.match(await browser.me(), { id: first.id, username: 'ann', name: 'Ann A.', email: 'ann@example.com', role: 'admin' })
    t.equal((await browser.open('/api/me/sessions')).json().length, 1)
    delete accounts['sub-1']
    await signIn(browser, 'sub-1')
    t.match(await browser.me(), { id: first.id, name: 'Ann A.', role: 'user' }, 'without the claim the user is no longer an admin')
    t.match(await server.query('SELECT admin_name, action FROM admin_log ORDER BY id'), [{ admin_name: issuer, action: 'admin.create' }, { admin_name: issuer, action: 'admin.remove' }])
  })

  await t.test('logging out ends the session', async t => {
    const { session } = Object.fromEntries(browser.cookies)
    t.equal((await browser.open('/api/logout')).statusCode, 200)
    t.equal((await server.anyone.get('/api/me', { cookie: `session=${session}` })).statusCode, 401)
  })

  await t.test('other users are other accounts, whatever their names and addresses are', async t => {
    await server.as('bob')
    accounts['sub-2'] = { name: 'Ann', preferred_username: 'bob', email: 'ann@example.com', email_verified: true }
    const other = browserOf(server)
    await signIn(other, 'sub-2')
    const second = await other.me()
    t.match(second, { username: null, name: 'Ann', email: null, external_id: 'sub-2' })
    t.not(second.id, first.id)
    accounts['sub-3'] = { email: 'eve@example.com', email_verified: false }
    await signIn(other, 'sub-3')
    t.match(await other.me(), { email: null, username: null, external_id: 'sub-3' })
    t.equal((await server.query('SELECT FROM users')).length, 4)
  })
})

t.test('a user whose tokens are accepted is the same user on the page, with the same claims', async t => {
  const { issuer } = await startProvider(t, CLIENT, { 'sub-1': { preferred_username: 'Ann', role: 'boss', name: 'Unused' } })
  const server = await startApp(t, oidc(issuer, { ADMIN_CLAIM: 'role=other', ...trusting({ issuer, audience: 'api', claims: { name: 'preferred_username' }, admin_claim: 'role=boss' }) }))
  await server.query("WITH u AS (INSERT INTO users (name) VALUES ('By token') RETURNING id) INSERT INTO external_users (issuer, subject, user_id) SELECT $1, 'sub-1', id FROM u", [issuer])
  const [{ id }] = await server.query('SELECT id::int FROM users')
  const browser = browserOf(server)
  await signIn(browser, 'sub-1')
  t.match(await browser.me(), { id, name: 'Ann', role: 'admin' })
})

t.test('clients with a secret send it in the way that the provider takes', async t => {
  for (const method of ['client_secret_post', 'client_secret_basic'] as const) {
    const { issuer } = await startProvider(t, { ...CLIENT, client_secret: 's+cret/% of ours', token_endpoint_auth_method: method })
    const server = await startApp(t, oidc(issuer, { OIDC_CLIENT_SECRET: 's+cret/% of ours' }))
    t.equal(await signIn(browserOf(server), 'ann'), '302 /#/', method)
    const wrong = await startApp(t, oidc(issuer, { OIDC_CLIENT_SECRET: 'another' }))
    t.equal(await signIn(browserOf(wrong), 'ann'), '302 /#sign-in-failed=SIGN_IN_FAILED', `${method}: a wrong secret`)
  }
})

t.test('with https the cookies are Secure and belong to this host only', async t => {
  const { issuer } = await startProvider(t, { ...CLIENT, redirect_uris: ['https://chat.example.com/api/oidc/callback'] })
  const server = await startApp(t, oidc(issuer, { PUBLIC_URL: 'https://chat.example.com/' }))
  const browser = browserOf(server, 'https://chat.example.com')
  const begun = await browser.open('/api/oidc/start')
  t.match(begun.cookies, [{ name: /^__Host-oidc-/, secure: true, path: '/' }])
  t.equal(begun.cookies[0]!.domain, undefined)
  const back = await browser.open(await visitProvider(String(begun.headers.location), 'https://chat.example.com/api/oidc/callback', 'ann'))
  t.equal(placeOf(back), '302 /#/')
  t.same([...browser.cookies.keys()], ['__Host-session'])
})

t.test('only the browser in which a sign-in began can end it, once, in time', async t => {
  const { issuer } = await startProvider(t)
  const server = await startApp(t, oidc(issuer))
  const EXPIRED = '302 /#sign-in-failed=SIGN_IN_EXPIRED'
  const key = (secret: string) => Buffer.from(hkdfSync('sha256', secret, '', 'pending sign-ins', 32))
  const payloadOf = (cookie: string) => JSON.parse(Buffer.from(cookie.split('.')[1]!, 'base64url').toString())
  const resigned = (payload: JWTPayload, secret = SECRET) => new SignJWT(payload).setProtectedHeader({ alg: 'HS256' }).sign(key(secret))

  const changes: Record<string, (browser: Browser, name: string, value: string) => unknown> = {
    'no cookie': browser => { browser.cookies.clear() },
    'a cookie of nonsense': (browser, name) => browser.cookies.set(name, 'nonsense'),
    'an expired cookie': async (browser, name, value) => browser.cookies.set(name, await resigned({ ...payloadOf(value), exp: Math.floor(Date.now() / 1000) - 1 })),
    'a cookie that never expires': async (browser, name, value) => browser.cookies.set(name, await resigned({ ...payloadOf(value), exp: undefined })),
    'a cookie that somebody else signed': async (browser, name, value) => browser.cookies.set(name, await resigned(payloadOf(value), 'another secret of at least 32 characters')),
    'the cookie of another sign-in': async (browser, name) => {
      await start(browser)
      const [, other] = [...browser.cookies.values()]
      browser.cookies.set(name, other!)
    }
  }
  for (const [how, change] of Object.entries(changes)) {
    const browser = browserOf(server)
    const back = await visitProvider(await start(browser), CALLBACK, 'ann')
    const [[name, value] = []] = [...browser.cookies]
    await change(browser, name!, value!)
    t.equal(placeOf(await browser.open(back)), EXPIRED, how)
    t.equal((await browser.me()).statusCode, 401, how)
  }
  t.same(await server.query('SELECT FROM users'), [])

  const valid = browserOf(server)
  const begun = await start(valid)
  const [[name, value] = []] = [...valid.cookies]
  valid.cookies.set(name!, await resigned(payloadOf(value!)))
  t.equal(placeOf(await valid.open(await visitProvider(begun, CALLBACK, 'ann'))), '302 /#/', 'a cookie that this test signs is accepted, so the others differ in one thing only')

  for (const query of ['', '?code=abc', '?state=abc&code=abc', '?state=__proto__&code=abc', '?error=access_denied', '?state=']) {
    t.equal(placeOf(await browserOf(server).open(`/api/oidc/callback${query}`)), EXPIRED, query)
  }
  for (const query of ['?state=a&state=b', `?state=${'x'.repeat(101)}`, `?code=${'x'.repeat(8_001)}`]) {
    t.match((await browserOf(server).open(`/api/oidc/callback${query}`)).json(), { code: 'INVALID_REQUEST' }, query.slice(0, 20))
  }

  await t.test('a code cannot be used again, not even with the cookie', async t => {
    const browser = browserOf(server)
    const back = await visitProvider(await start(browser), CALLBACK, 'ann')
    const before = new Map(browser.cookies)
    t.equal(placeOf(await browser.open(back)), '302 /#/')
    t.equal(placeOf(await browser.open(back)), EXPIRED)
    const thief = browserOf(server)
    for (const [name, value] of before) thief.cookies.set(name, value)
    t.equal(placeOf(await thief.open(back)), '302 /#sign-in-failed=SIGN_IN_FAILED')
    t.equal((await thief.me()).statusCode, 401)
  })

  await t.test('somebody else’s code cannot be used, not even with a sign-in of one’s own', async t => {
    const [ann, eve] = [browserOf(server), browserOf(server)]
    const anns = new URL(await visitProvider(await start(ann), CALLBACK, 'ann'))
    const eves = new URL(await visitProvider(await start(eve), CALLBACK, 'eve'))
    eves.searchParams.set('code', anns.searchParams.get('code')!)
    t.equal(placeOf(await eve.open(eves.href)), '302 /#sign-in-failed=SIGN_IN_FAILED', 'PKCE and the nonce differ')
  })
})

t.test('two sign-ins in two tabs both succeed, and a browser keeps only a few', async t => {
  const { issuer } = await startProvider(t)
  const server = await startApp(t, oidc(issuer))
  const browser = browserOf(server)
  const [one, two] = [await start(browser, '#/c/1'), await start(browser, '#/c/2')]
  const [first, second] = [await visitProvider(one, CALLBACK, 'ann'), await visitProvider(two, CALLBACK, 'ann')]
  t.equal(placeOf(await browser.open(second)), '302 /#/c/2')
  t.equal(placeOf(await browser.open(first)), '302 /#/c/1')
  t.match(await browser.me(), { external_id: 'ann' })

  const starts = []
  for (let n = 0; n < 6; n++) starts.push(await start(browser, `#/c/${n}`))
  t.equal([...browser.cookies.keys()].filter(name => name.startsWith('oidc-')).length, 4)
  t.equal(placeOf(await browser.open(await visitProvider(starts[1]!, CALLBACK, 'ann'))), '302 /#sign-in-failed=SIGN_IN_EXPIRED', 'the oldest ones are forgotten')
  t.equal(placeOf(await browser.open(await visitProvider(starts[2]!, CALLBACK, 'ann'))), '302 /#/c/2')
})

t.test('a sign-in ends only on this page, and begins only there', async t => {
  const { issuer } = await startProvider(t)
  const server = await startApp(t, oidc(issuer))
  for (const place of ['https://evil.example', '//evil.example', '/\\evil.example', '#', '#reset-password=1', 'c/7', '#/c/7\n', '#/ä', '#/ x', `#/${'x'.repeat(500)}`]) {
    const answer = await browserOf(server).open(`/api/oidc/start?return_to=${encodeURIComponent(place)}`)
    t.match([answer.statusCode, answer.json()], [400, { code: 'INVALID_REQUEST' }], place)
  }
  t.equal(await signIn(browserOf(server), 'ann', '#//evil.example'), '302 /#//evil.example', 'what follows the # is a place of this page, whatever it is')
  for (const site of ['cross-site', 'same-site']) {
    const browser = browserOf(server)
    t.equal(placeOf(await browser.open('/api/oidc/start', { 'sec-fetch-site': site })), '302 /#sign-in-failed=CROSS_SITE')
    t.equal(browser.cookies.size, 0)
  }
  for (const site of ['same-origin', 'none']) t.match((await browserOf(server).open('/api/oidc/start', { 'sec-fetch-site': site })).headers.location, issuer)
  const plain = browserOf(await startApp(t, { OIDC_ISSUER: issuer }))
  for (const path of ['start', 'callback?state=abc']) t.equal(placeOf(await plain.open(`/api/oidc/${path}`)), '302 /#sign-in-failed=NOT_FOUND', 'without OIDC_CLIENT_ID')
  t.match((await plain.open('/api/settings')).json(), { oidc: null })
})

t.test('if the provider refuses, or somebody changes its answer, nobody is signed in', async t => {
  const { issuer } = await startProvider(t)
  const server = await startApp(t, oidc(issuer))
  const ending = async (change: { start?: (url: URL) => void, back?: (url: URL) => void, cancels?: boolean }) => {
    const browser = browserOf(server)
    const begun = new URL(await start(browser))
    change.start?.(begun)
    const back = new URL(await visitProvider(begun.href, CALLBACK, 'ann', { cancels: change.cancels ?? false }))
    change.back?.(back)
    const place = placeOf(await browser.open(back.href))
    t.equal((await browser.me()).statusCode, 401)
    return place
  }
  t.equal(await ending({ cancels: true }), '302 /#sign-in-failed=SIGN_IN_REFUSED', 'the user cancels: access_denied')
  t.equal(await ending({ start: url => url.searchParams.set('prompt', 'none') }), '302 /#sign-in-failed=SIGN_IN_REFUSED', 'login_required')
  const failed = '302 /#sign-in-failed=SIGN_IN_FAILED'
  t.equal(await ending({ start: url => url.searchParams.set('nonce', 'another') }), failed, 'another nonce')
  t.equal(await ending({ start: url => url.searchParams.set('code_challenge', 'a'.repeat(43)) }), failed, 'another challenge')
  t.equal(await ending({ back: url => url.searchParams.set('iss', 'https://evil.example') }), failed, 'the answer of another issuer')
  t.equal(await ending({ back: url => url.searchParams.delete('iss') }), failed, 'no issuer, although the provider always names itself')
  t.equal(await ending({ back: url => url.searchParams.set('code', 'invented') }), failed, 'an invented code')
  t.equal(await ending({ back: url => url.searchParams.delete('code') }), failed, 'no code')
  t.equal(await ending({ start: url => url.searchParams.set('state', 'another'), back: url => url.searchParams.set('state', 'another') }), '302 /#sign-in-failed=SIGN_IN_EXPIRED', 'another state')
  t.same(await server.query('SELECT FROM users'), [])
})

/** A provider whose answers the test writes. `tokens` makes the claims of the ID token from the right ones. */
async function startForger (t: Test) {
  const issuer = await startIssuer(t)
  const state: { nonce: string, claims: JWTPayload, key: CryptoKey | undefined, header: object, userinfo: object | undefined } = { nonce: '', claims: {}, key: undefined, header: {}, userinfo: undefined }
  issuer.answerWith(async (request, response) => {
    const paths: Record<string, () => Promise<object> | object> = {
      '/.well-known/openid-configuration': () => ({
        issuer: issuer.issuer,
        authorization_endpoint: `${issuer.issuer}/auth`,
        token_endpoint: `${issuer.issuer}/token`,
        jwks_uri: `${issuer.issuer}/jwks`,
        ...state.userinfo && { userinfo_endpoint: `${issuer.issuer}/me` }
      }),
      '/jwks': () => ({ keys: [issuer.jwk] }),
      '/me': () => state.userinfo!,
      '/token': async () => ({ access_token: 'any', token_type: 'bearer', id_token: await issuer.sign({ aud: 'parley', nonce: state.nonce, ...state.claims }, state.header, state.key) })
    }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(await paths[request.url!]!()))
  })
  return { ...issuer, state }
}

t.test('forged ID tokens and profiles are refused', async t => {
  const forger = await startForger(t)
  const seconds = Math.floor(Date.now() / 1000)
  const tries: Record<string, Partial<typeof forger.state>> = {
    'another issuer': { claims: { iss: 'https://evil.example' } },
    'another audience': { claims: { aud: 'another' } },
    'several audiences': { claims: { aud: ['parley', 'another'], azp: 'another' } },
    'another nonce': { claims: { nonce: 'another' } },
    'no nonce': { claims: { nonce: undefined } },
    'an expired token': { claims: { exp: seconds - 600 } },
    'no subject': { claims: { sub: undefined as never } },
    'a subject that is too long': { claims: { sub: 'x'.repeat(256) } },
    'a subject that cannot be stored': { claims: { sub: 'user\0' } },
    'another key': { key: (await generateKeyPair('RS256')).privateKey },
    'an unknown key id': { header: { kid: 'unknown' } },
    'the profile of somebody else': { userinfo: { sub: 'another' } }
  }
  for (const [how, change] of Object.entries(tries)) {
    Object.assign(forger.state, { claims: {}, key: undefined, header: {}, userinfo: undefined }, change)
    const server = await startApp(t, oidc(forger.issuer))
    const browser = browserOf(server)
    const url = new URL(await start(browser))
    forger.state.nonce = url.searchParams.get('nonce')!
    t.equal(placeOf(await browser.open(`${CALLBACK}?code=any&state=${url.searchParams.get('state')}`)), '302 /#sign-in-failed=SIGN_IN_FAILED', how)
    t.same(await server.query('SELECT FROM users'), [], how)
  }
  Object.assign(forger.state, { claims: { name: 'Ann' }, key: undefined, header: {}, userinfo: undefined })
  const browser = browserOf(await startApp(t, oidc(forger.issuer)))
  const url = new URL(await start(browser))
  forger.state.nonce = url.searchParams.get('nonce')!
  t.equal(placeOf(await browser.open(`${CALLBACK}?code=any&state=${url.searchParams.get('state')}`)), '302 /#/', 'a right one is accepted, also without an address for profiles')
  t.match(await browser.me(), { name: 'Ann', external_id: 'user_1' })
})

t.test('a provider that is away, slow, broken or in our own network delays only those who sign in with it', async t => {
  const UNAVAILABLE = '302 /#sign-in-failed=UNAVAILABLE'
  const inside = await startIssuer(t)
  const bad = await startIssuer(t)
  const answers: Record<string, Parameters<typeof bad.answerWith>[0]> = {
    slow: () => {},
    'slow after the headers': (_request, response) => { response.write('{') },
    'an error': (_request, response) => { response.writeHead(500).end('{}') },
    'no body': (_request, response) => { response.writeHead(204).end() },
    'invalid data': (_request, response) => { response.setHeader('content-type', 'application/json').end('<html>') },
    'another issuer': (_request, response) => { response.setHeader('content-type', 'application/json').end(JSON.stringify({ issuer: inside.issuer })) },
    'too much data': (_request, response) => { response.setHeader('content-type', 'application/json').end(' '.repeat(300 * 1024)) },
    'a redirect into the internal network': (_request, response) => { response.writeHead(302, { location: `${inside.issuer}/.well-known/openid-configuration` }).end() }
  }
  for (const [how, answer] of Object.entries(answers)) {
    bad.answerWith(answer)
    const server = await startApp(t, oidc(bad.issuer))
    const order: string[] = []
    const waiting = Promise.all([1, 2].map(async () => {
      const place = placeOf(await browserOf(server).open('/api/oidc/start'))
      order.push(place)
    }))
    const ann = await server.as('ann')
    t.equal((await ann.get('/api/me')).statusCode, 200)
    if (how.startsWith('slow')) t.same(order, [], `${how}: other users were not delayed`)
    await waiting
    t.same(order, [UNAVAILABLE, UNAVAILABLE], how)
    const asked = bad.asked.length
    t.equal(placeOf(await browserOf(server).open('/api/oidc/start')), UNAVAILABLE)
    t.equal(bad.asked.length, asked, `${how}: the next one is refused at once, without asking the provider`)
  }
  t.equal(bad.asked.length, Object.keys(answers).length, 'those who come together share one request')
  t.same(inside.asked, [])

  const port = await freePort()
  t.equal(placeOf(await browserOf(await startApp(t, oidc(`http://127.0.0.1:${port}`))).open('/api/oidc/start')), UNAVAILABLE, 'nobody listens')

  await t.test('addresses in its configuration must not be in our own network', async t => {
    const elsewhere = inside.issuer.replace('127.0.0.1', '127.0.0.2')
    bad.answerWith((_request, response) => {
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ issuer: bad.issuer, authorization_endpoint: `${bad.issuer}/auth`, token_endpoint: `${elsewhere}/token`, jwks_uri: `${elsewhere}/jwks` }))
    })
    const lines: string[] = []
    const browser = browserOf(await startApp(t, oidc(bad.issuer), pino({ level: 'warn' }, { write (line) { lines.push(line) } })))
    const state = new URL(await start(browser)).searchParams.get('state')
    t.equal(placeOf(await browser.open(`${CALLBACK}?code=any&state=${state}`)), '302 /#sign-in-failed=SIGN_IN_FAILED')
    t.same(inside.asked, [])
    t.match(lines, [/127\.0\.0\.2 is inside our own network/])
    t.notMatch(lines[0], /WEBHOOK_ALLOW/, 'a setting for bots, which would not help')
  })
})

t.test('a locked user cannot sign in, and a deleted one begins anew', async t => {
  const { issuer } = await startProvider(t)
  const server = await startApp(t, oidc(issuer))
  const browser = browserOf(server)
  await signIn(browser, 'ann')
  const { id } = await browser.me()
  await server.query('UPDATE users SET locked_at = now()')
  const other = browserOf(server)
  t.equal(await signIn(other, 'ann'), '302 /#sign-in-failed=ACCOUNT_LOCKED')
  t.equal((await other.me()).statusCode, 401)
  await server.query('UPDATE users SET locked_at = NULL')
  t.equal((await server.clientOf({ cookie: `session=${browser.cookies.get('session')}` }).delete('/api/me')).statusCode, 204, 'a user without a password can delete the account')
  t.equal((await browser.me()).statusCode, 401, 'the session of a deleted user has ended')
  t.equal(await signIn(other, 'ann'), '302 /#/')
  t.not((await other.me()).id, id)
})

t.test('if the database refuses, the page says that signing in is not possible', async t => {
  const { issuer } = await startProvider(t)
  const logged: unknown[] = []
  const log = { ...console, level: 'error', silent () {}, fatal () {}, trace () {}, debug () {}, info () {}, warn () {}, error: (...said: unknown[]) => logged.push(said), child: () => log }
  const server = await startApp(t, oidc(issuer), log as never)
  await server.query('ALTER TABLE external_users RENAME TO gone')
  t.equal(await signIn(browserOf(server), 'ann'), '302 /#sign-in-failed=UNAVAILABLE')
  t.match(logged, [[{ err: Error }, 'A sign-in with OIDC_ISSUER could not be processed']])
})

t.test('a token of the provider is no session, and the session is no token of the provider', async t => {
  const { issuer } = await startProvider(t)
  const server = await startApp(t, oidc(issuer))
  const browser = browserOf(server)
  const [, pending] = [await start(browser), [...browser.cookies.values()][0]!]
  t.equal((await server.anyone.get('/api/me', bearer(pending))).statusCode, 401, 'the cookie of a sign-in that has begun')
  t.equal((await server.anyone.get('/api/me', { cookie: `session=${pending}` })).statusCode, 401)
  await signIn(browser, 'ann')
  const [name] = [...browser.cookies.keys()].filter(name => name.startsWith('oidc-'))
  browser.cookies.set(name!, browser.cookies.get('session')!)
  t.equal(placeOf(await browser.open(`${CALLBACK}?code=any&state=${name!.slice(5)}`)), '302 /#sign-in-failed=SIGN_IN_EXPIRED')
})

t.test('the configuration of the provider is fetched once an hour, and the old one is used while there is no newer one', async t => {
  const front = await startIssuer(t)
  let now = 0
  const warned: unknown[] = []
  const provider = createOpenIdProvider({
    issuer: front.issuer, clientId: 'parley', clientSecret: undefined, createConnector: createFencedConnector, now: () => now, log: { info () {}, warn: (...said: unknown[]) => warned.push(said) }
  })
  t.teardown(provider.close)
  const MINUTE_MS = 60_000
  const serve = (path: string) => front.answerWith((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ issuer: front.issuer, authorization_endpoint: `${front.issuer}${path}` }))
  })
  const address = async () => new URL((await provider.begin(CALLBACK)).url).pathname
  front.answerWith((_request, response) => { response.writeHead(500).end() })
  await t.rejects(address(), { code: 'UNAVAILABLE' })
  serve('/old')
  now += 4_999
  await t.rejects(address(), { code: 'UNAVAILABLE' }, 'not asked again so soon')
  now += 1
  t.equal(await address(), '/old')
  serve('/new')
  now += 60 * MINUTE_MS
  t.equal(await address(), '/old')
  front.answerWith((_request, response) => { response.writeHead(500).end() })
  now += 1
  t.equal(await address(), '/old', 'the provider is away')
  t.equal(warned.length, 2)
  serve('/new')
  now += 5_000
  t.equal(await address(), '/new')
  t.equal(front.asked.length, 4)
})
