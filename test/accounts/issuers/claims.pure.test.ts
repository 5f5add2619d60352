import t from 'tap'
import { readProfile } from '../../../src/accounts/issuers/claims.ts'

const read = (payload: object, names = {}, adminClaim?: string) => readProfile({ ...payload }, names, adminClaim)

t.test('a profile is read from the standard claims', async t => {
  t.same(read({ preferred_username: 'ann', name: 'Ann A.', picture: 'https://example.com/a.png', email: 'ann@example.com', email_verified: true }), {
    username: 'ann', name: 'Ann A.', picture: 'https://example.com/a.png', email: 'ann@example.com', isAdmin: undefined, issuedAt: undefined
  })
})

t.test('claims can have other names, also nested ones and names that contain dots', async t => {
  const payload = { user_metadata: { full_name: 'Ann', avatar_url: 'http://example.com/a' }, 'https://example.com/nick': 'annie' }
  const names = { name: 'user_metadata.full_name', picture: 'user_metadata.avatar_url', username: 'https://example.com/nick' }
  t.match(read(payload, names), { name: 'Ann', picture: 'http://example.com/a', username: 'annie' })
  for (const name of ['user_metadata.none', 'user_metadata.full_name.length', 'constructor.name', 'none.at.all', '__proto__']) t.match(read(payload, { name }), { name: undefined }, name)
})

t.test('an email address is used only if the issuer says that it is verified', async t => {
  for (const email_verified of [undefined, false, 'true', 1]) t.equal(read({ email: 'ann@example.com', email_verified }).email, undefined)
  for (const email of ['no address', 'a\nb@example.com', 7, 'ann\0@example.com']) t.equal(read({ email, email_verified: true }).email, undefined)
})

t.test('a name is cleaned and cut, and ignored if it cannot be shown or stored', async t => {
  const names: Array<[unknown, string | undefined]> = [
    ['  Ann\n\u202eA. ', 'Ann A.'], ['x'.repeat(200), 'x'.repeat(100)], ['\u{1f600}'.repeat(200), '\u{1f600}'.repeat(100)], ['', undefined], [' \u200b ', undefined],
    [7, undefined], [null, undefined], ['\ud800', undefined], ['\0', undefined]
  ]
  for (const [name, expected] of names) t.equal(read({ name }).name, expected, JSON.stringify(name)?.slice(0, 20))
})

t.test('a picture without an http address of moderate length is ignored', async t => {
  for (const picture of ['javascript:alert(1)', 'data:image/png;base64,AAAA', 'nonsense', `https://example.com/${'x'.repeat(2000)}`]) t.equal(read({ picture }).picture, undefined)
})

t.test('the admin claim decides who is an admin', async t => {
  t.equal(read({}, {}, 'role=admin').isAdmin, false)
  t.equal(read({ role: 'admin' }, {}, 'role=admin').isAdmin, true)
  t.equal(read({ role: ['user', 'admin'] }, {}, 'role=admin').isAdmin, true)
  t.equal(read({ role: 'administrator' }, {}, 'role=admin').isAdmin, false)
  t.equal(read({ realm_access: { roles: ['chat'] } }, {}, 'realm_access.roles=chat').isAdmin, true)
  t.equal(read({ admin: true }, {}, 'admin=true').isAdmin, true, 'as Firebase’s documentation does it')
  t.equal(read({ level: [1, 3] }, {}, 'level=3').isAdmin, true)
  for (const admin of [false, null, {}, { true: true }, [[true]], undefined]) t.equal(read({ admin }, {}, 'admin=true').isAdmin, false, JSON.stringify(admin))
  for (const rule of ['none=undefined', 'role=null', 'realm=[object Object]']) t.equal(read({ role: null, realm: {} }, {}, rule).isAdmin, false, rule)
  t.equal(read({ 'https://example.com/?a=b': ['x'] }, {}, 'https://example.com/?a=b=x').isAdmin, true)
})

t.test('a time of issue is at most a minute in the future, so that a wrong clock of the issuer does not make all later tokens look old', async t => {
  for (const [iat, issuedAt] of [[1_000, 1_000_000], [-1e300, 0]] as const) t.equal(read({ iat }).issuedAt?.getTime(), issuedAt)
  for (const iat of [Date.now(), 1e300]) t.ok(read({ iat }).issuedAt!.getTime() <= Date.now() + 60_000)
})
