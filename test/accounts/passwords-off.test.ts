import t from 'tap'
import { startApp, type Headers } from '../support/helper.ts'
import { tokenOf } from '../support/live.ts'
import { begin, documentedRoutes, everythingIn, readDescription, rightRequest, send, type Route } from '../support/routes.ts'

// A server with PASSWORDS=off. The walk over all routes finds a new route that takes a password by itself.

/**
 * Whether a route is about passwords: its body has one, or its path says so. Invitations are for signing up with one. Who
 * deletes the account needs the password where there are passwords, and none here.
 */
function isAboutPasswords ({ name, path, body }: Route) {
  if (name === 'DELETE /api/me') return false
  return /"(\w*passw\w*|passcode)":/.test(JSON.stringify(body?.properties ?? {})) || /password|signup|register|login/.test(path) || name === 'POST /api/admin/invitations'
}

t.test('with PASSWORDS=off every route that takes a password refuses it, and all others work', async t => {
  // What the requests need is made on a server that takes passwords.
  const on = await startApp(t)
  const off = await startApp(t, { PASSWORDS: 'off' }, undefined, on.connection)
  const routes = await documentedRoutes(off)
  const refusing = routes.filter(isAboutPasswords)
  t.match((await readDescription(off)).info.description, 'operations that take a password answer 403 `PASSWORDS_OFF`')
  t.same(refusing.map(({ name }) => name).sort(), [
    'PATCH /api/me', 'POST /api/admin/invitations', 'POST /api/admin/users', 'POST /api/login', 'POST /api/password/forgot', 'POST /api/password/reset',
    'POST /api/signup', 'POST /login', 'POST /register'
  ])
  for (const route of routes) {
    if (route.method === 'GET' && route.responses[200]?.content?.['text/event-stream'] !== undefined) continue // it would not end
    const { ann, url } = await begin(on, route)
    const right = rightRequest(route)
    const headers: Headers = { ...route.name.endsWith('as a guest') || route.path.startsWith('/api/users/') ? ann.headers : { authorization: `Bearer ${tokenOf(ann)}` }, ...right.headers }
    const before = await everythingIn(off)
    const answer = await send(off, route, url(), headers, right.payload)
    if (!refusing.includes(route)) {
      t.equal(answer.statusCode, route.example?.status ?? 200, route.name)
      continue
    }
    t.match([answer.statusCode, answer.json()], [403, { code: 'PASSWORDS_OFF', error: 'Passwords are switched off here' }], route.name)
    t.ok(route.responses[403], `${route.name} documents the status`)
    t.same(answer.cookies, [])
    t.same(await everythingIn(off), before, `${route.name}: nothing changed`)
  }
})

t.test('the routes of users without a password still work', async t => {
  const on = await startApp(t)
  const { anyone, clientOf } = await startApp(t, { PASSWORDS: 'off', SIGNUP: 'open' }, undefined, on.connection)
  t.same((await anyone.get('/api/settings')).json(), { signup: 'closed', passwords: false, oidc: null })
  const ann = clientOf((await on.as('ann')).headers)
  t.equal((await ann.patch('/api/me', { name: 'Ann A.' })).statusCode, 200)
  for (const change of [{ email: 'ann@example.com' }, { username: 'anna' }, { password: 'another horse' }]) t.match((await ann.patch('/api/me', change)).json(), { code: 'PASSWORDS_OFF' })
  t.equal((await ann.delete('/api/me')).statusCode, 204, 'the account can be deleted, although its password cannot be checked')
  t.equal((await ann.get('/api/me')).statusCode, 401)
  t.match((await anyone.post('/login', { id: 'ann', passcode: 'correct horse' })).json(), { code: 'PASSWORDS_OFF', msg: 'Passwords are switched off here' })
  t.match((await anyone.post('/api/login', 'nonsense', { 'content-type': 'text/plain' })).json(), { code: 'PASSWORDS_OFF' }, 'whatever the body is')
})
