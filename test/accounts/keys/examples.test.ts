import t from 'tap'
import type { AddressInfo } from 'node:net'
import { registerHooks } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import express from 'express'
import type { Test } from 'tap'
import { noBrowser, openBrowser } from '../../support/browser.ts'
import { blocksOf } from '../../support/docs.ts'
import { bearer } from '../../support/issuer.ts'
import { startLive } from '../../support/live.ts'

// The servers of docs/users.md that get tokens for their users, each run as it is documented.

const documented = (part: string) => blocksOf('docs/users.md', 'js').find(code => code.includes(part))!

/** A server of ours, with a key for the documented `chat.js`. `write` writes files beside that, and returns how to import one of them. */
async function prepare (t: Test, settings: Parameters<typeof startLive>[1] = {}) {
  const app = await startLive(t, settings)
  const boss = await app.as('boss')
  await app.query("UPDATE users SET role = 'admin' WHERE username = 'boss'")
  const { key } = (await boss.post('/api/admin/keys', { name: 'shop', scopes: ['users'] })).json()
  Object.assign(process.env, { CHAT_URL: app.url, CHAT_KEY: key })
  const write = (files: Record<string, string | Record<string, Record<string, string>>>) => {
    const folder = t.testdir({ 'chat.js': documented('tokenFor ({'), ...files })
    return async (file: string) => await import(pathToFileURL(path.join(folder, file)).href)
  }
  return { app, write }
}

t.test('chat.js creates the user and gets a token', async t => {
  const { app, write } = await prepare(t)
  const { tokenFor } = await write({})('chat.js')
  const { token } = await tokenFor({ id: 'github:1', name: 'Ann', email: 'ann@example.com' })
  t.match((await app.clientOf(bearer(token)).get('/api/me')).json(), { name: 'Ann', email: 'ann@example.com', external_id: 'github:1' })
  await t.rejects(tokenFor({ id: 'a space is not allowed' }), /PUT .*: 400 /)
})

t.test('Express: after the app’s own login, the browser sends a message with the token', { skip: noBrowser }, async t => {
  const shop = express()
  const server = shop.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { app, write } = await prepare(t, { CORS_ORIGINS: url })
  const logins = new Map<string, { id: number, name: string }>()
  shop.get('/', (_req, res) => { res.type('html').send('<title>Shop</title>') })
  shop.post('/login', (_req, res) => {
    logins.set('a-session-of-the-shop', { id: 42, name: 'Ann' })
    res.cookie('shop', 'a-session-of-the-shop', { httpOnly: true }).end()
  })
  shop.use((req, _res, next) => {
    Object.assign(req, { user: logins.get(/shop=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1] ?? '') })
    next()
  })
  // The documented lines name the app `app`.
  Object.assign(globalThis, { app: shop })
  await write({ 'server.js': documented("app.post('/chat-token'") })('server.js')

  const { page } = await (await openBrowser(t)).person()
  await page.goto(url)
  const seen = await page.evaluate(async chat => {
    const post = async (url: string, body?: object, token?: string) => await fetch(url, {
      method: 'POST', headers: { ...body && { 'Content-Type': 'application/json' }, ...token !== undefined && { Authorization: `Bearer ${token}` } }, ...body && { body: JSON.stringify(body) }
    })
    const before = (await post('/chat-token')).status
    await post('/login')
    const answer = await post('/chat-token')
    const { token } = await answer.json() as { token: string }
    const { id } = await (await post(`${chat}/api/conversations`, { name: 'My order' }, token)).json() as { id: number }
    const messages = await (await post(`${chat}/api/conversations/${id}/messages`, { text: 'Where is it?' }, token)).json()
    return { before, cache: answer.headers.get('cache-control'), messages }
  }, app.url)
  t.match(seen, { before: 401, cache: 'no-store', messages: [{ sender: 'user', username: 'Ann', text: 'Where is it?' }, { sender: 'bot', text: 'You said: Where is it?' }] })
  t.match(await app.query('SELECT subject FROM external_users'), [{ subject: '42' }])
})

t.test('Next.js with Auth.js: the route gives the token of who is logged in', async t => {
  const { app, write } = await prepare(t)
  // The bundler of Next.js finds `../../chat` without `.js`; Node does not.
  const hooks = registerHooks({ resolve: (specifier, context, next) => next(/^\.\.\/\.\.\/\w+$/.test(specifier) ? `${specifier}.js` : specifier, context) })
  t.teardown(() => hooks.deregister())
  const load = write({
    // What Auth.js does with the callbacks: `jwt` at the sign-in, `session` whenever the session is asked for.
    'auth.js': `const { callbacks } = {\n${documented('callbacks: {')}\n}
      let token
      export const signIn = account => { token = callbacks.jwt({ token: { name: 'Ann' }, account }) }
      export async function auth () {
        if (token === undefined) return null
        token = callbacks.jwt({ token })
        return callbacks.session({ session: { user: { name: token.name } }, token })
      }`,
    app: { 'chat-token': { 'route.js': documented('export async function POST') } }
  })
  const { POST } = await load('app/chat-token/route.js')
  const request = new Request('http://localhost:3000/chat-token', { method: 'POST' })
  const refused = await POST(request)
  t.ok(refused instanceof Response)
  t.equal(refused.status, 401)
  const { signIn } = await load('auth.js')
  signIn({ provider: 'github', providerAccountId: '7' })
  const answer = await POST(request)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const { token, expires_at } = await answer.json()
  t.ok(Date.parse(expires_at) > Date.now())
  const ann = app.clientOf(bearer(token))
  t.match((await ann.get('/api/me')).json(), { name: 'Ann', external_id: 'github:7' })
  const { id } = (await ann.post('/api/conversations', { name: 'My order' })).json()
  t.match((await ann.post(`/api/conversations/${id}/messages`, { text: 'Where is it?' })).json(), [{ username: 'Ann' }, { sender: 'bot' }])
})
