import t from 'tap'
import { makeAdmin } from '../../src/accounts/admin-store.ts'
import { createTitles } from '../../src/conversations/bots/title.ts'
import { createDirectory, createEngines } from '../../src/bots/directory.ts'
import { createConversationStore } from '../../src/conversations/store.ts'
import { mixedScripts } from '../../src/text/scripts.ts'
import { lengthOf } from '../../src/text/text.ts'
import { formerKeyOf, keyOf, spaced, usernameProblem } from '../../src/text/username.ts'
import { API_KEY, settings, startApp, type Client } from '../support/helper.ts'
import { byCategory, createRandom, pick, pointsOf, UNUSABLE, usable } from '../support/characters.ts'

// Names, phone numbers and texts with characters of all categories. The expected results come from Unicode's own data.

t.setTimeout(600_000)

const PASSWORD = 'correct horse'

const signUp = async (client: Client, username: string) => await client.post('/api/signup', { username, password: PASSWORD })
const logIn = async (client: Client, username: string) => (await client.post('/api/login', { username, password: PASSWORD })).json()

// --- which texts are allowed ---

t.test('a message without visible characters is refused, on every channel', async t => {
  const { as, anyone } = await startApp(t)
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Chat' })).json()
  for (const text of [' ', '\u200b', '\u2800', '\u3164\u00a0', '\u{e0041}']) {
    t.equal((await ann.post(`/api/conversations/${id}/messages`, { text })).statusCode, 400, pointsOf(text))
    t.match((await anyone.post('/chat', { user_phone: '123', user_message: text })).json(), { statusCode: 400, code: 'EMPTY_INPUT' })
    t.equal((await ann.patch('/api/me', { name: text })).statusCode, 400)
  }
  t.equal((await ann.post(`/api/conversations/${id}/messages`, { text: '👩\u200d💻' })).statusCode, 201)
})

t.test('a displayed name cannot reverse the text after it', async t => {
  const { as } = await startApp(t)
  const ann = await as('ann')
  for (const name of ['a\u202eb', 'a\u2066b', 'a\nb', 'a\u2028b']) t.match((await ann.patch('/api/me', { name })).json(), { statusCode: 400, details: [{ path: 'name' }] })
  for (const name of ['نرگس\u200cخانم', '👩\u200d💻 Ann', 'יעל', '田中']) t.match((await ann.patch('/api/me', { name })).json(), { name })
})

// --- usernames ---

t.test('usernames with characters of every category: invisible ones are refused, and every spelling of the others is the same name', async t => {
  const { anyone, query } = await startApp(t)
  const random = createRandom(4)
  let accepted = 0
  for (const [category, characters] of byCategory) {
    for (let n = 0; n < 12; n++) {
      const character = pick(random, characters)
      const name = `${pick(random, ['', 'a', '7', '書', 'ש'])}${character}${n % 2 === 0 ? ' ' : ''}${pick(random, characters)}${accepted}`
      const answer = await signUp(anyone, name)
      const said = `${category} ${pointsOf(name)}: ${answer.json().error ?? 'accepted'}`
      if (answer.statusCode !== 201) {
        t.match(answer.json(), { statusCode: 400, error: /^\S+ .{5,}/ }, said)
        continue
      }
      accepted++
      const { username } = answer.json().user as { username: string }
      t.notMatch(username, /[\p{C}\p{Default_Ignorable_Code_Point}\u2800]|\s\s|[^\S ]|^ | $/u, said)
      t.match(username, /[\p{L}\p{N}]/u)
      t.equal(mixedScripts(username.normalize('NFKC')), undefined, said)
      t.notOk(UNUSABLE.includes(category) && username.includes(character), said)
      const upper = username.split('ı').map(part => part.toUpperCase()).join('ı')
      for (const variant of [username.toLowerCase(), upper, username.normalize('NFD'), username.normalize('NFKC'), username.replaceAll(' ', ' \u3000')]) {
        const again = await signUp(anyone, variant)
        t.equal(again.statusCode, 400, `${said}, then again with the spelling ${pointsOf(variant)}`)
        if (again.json().code === 'USERNAME_TAKEN') t.match(await logIn(anyone, variant), { user: { username } })
      }
    }
  }
  t.ok(accepted > 50, `${accepted} names were accepted`)
  const keys = await query('SELECT username, username_key FROM users')
  t.ok(keys.every(({ username, username_key: key }) => keyOf(username) === key))
})

t.test('the reason why a username is refused is given, on every channel', async t => {
  const { anyone, as } = await startApp(t)
  const refused: Array<[username: string, why: RegExp]> = [
    ['ann\ufe0f', /can be seen/], ['ann\u2800', /can be seen/], ['ann\u3164', /can be seen/], ['a\u115fnn', /can be seen/], ['a\u034fnn', /can be seen/],
    ['ann\u{e0100}', /can be seen/], ['ann\u17b4', /can be seen/], ['ann\uffa0', /can be seen/],
    ['🎸🎸🎸', /letter or digit/], ['...', /letter or digit/], ['- -', /letter or digit/],
    ['pаypal', /mixes Latin and Cyrillic/], ['αnn', /mixes Greek and Latin/], ['Ꭺnn', /mixes Cherokee and Latin/], ['山田taro', /mixes Han and Latin/], ['𝛂nn', /mixes Greek and Latin/], ['ann१', /mixes Latin and Devanagari/],
    ['e\u0301\u0301va', /marks/], ['a\u0301\u0302\u0303\u0304\u0306nn', /marks/], ['\u0301ann', /marks/],
    ['so\u0338ren', /ø/], ['d\u0335ang', /ø/], ['a\u20d2nn', /ø/]
  ]
  const bob = await as('bob')
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  for (const [username, error] of refused) {
    const wanted = { statusCode: 400, code: 'INVALID_USERNAME', error }
    t.match((await signUp(anyone, username)).json(), wanted, pointsOf(username))
    t.match((await anyone.post('/register', { id: username, passcode: PASSWORD })).json(), { ...wanted, msg: error })
    t.match((await bob.patch('/api/me', { username, current_password: PASSWORD })).json(), wanted)
    t.match((await anyone.post('/api/signup', { username, password: PASSWORD }, { authorization: `Bearer ${token}` })).json(), wanted)
  }
  for (const username of ['田中さくら', 'ラーメン二郎', '김철수', 'יעל כהן', 'محمد', 'Zoë 🎸', 'Đặng Thị', 'สมชาย', 'अनीता', 'ann_2-b.c', '1234567', 'Иван', 'ﾔﾏﾀﾞ', 'ﬁona', 'Søren', 'a≠b']) {
    t.equal((await signUp(anyone, username)).statusCode, 201, username)
  }
  t.equal((await signUp(anyone, ' Mary   Ann ')).json().user.username, 'Mary Ann')
  t.match(await logIn(anyone, 'mary ann'), { user: { username: 'Mary Ann' } })
})

t.test('accounts from before the current rule for usernames can log in, and nobody else can take their names', async t => {
  const { anyone, as, db, query, app } = await startApp(t)
  await as('ann')
  const makeFormer = async (username: string) => {
    const [row] = await query('INSERT INTO users (username, username_key, password_hash) SELECT $1, $2, password_hash FROM users WHERE username = \'ann\' RETURNING id', [username, formerKeyOf(username)])
    return Number(row.id)
  }
  const withSz = await makeFormer('Straße'); const withSs = await makeFormer('Strasse'); const impostor = await makeFormer('ann\ufe0f'); await makeFormer('pаypal')
  t.match(await logIn(anyone, 'STRAßE'), { user: { id: withSz } }, 'the exact spelling decides between two accounts whose names are the same under the current rule')
  t.match(await logIn(anyone, 'strasse'), { user: { id: withSs } })
  t.match(await logIn(anyone, 'ann\ufe0f'), { user: { id: impostor } })
  t.match(await logIn(anyone, 'pаypal'), { user: { username: 'pаypal' } }, 'accounts with names that would be refused today can log in, too')
  t.match(await logIn(anyone, 'ann'), { user: { username: 'ann' } })
  t.match(await logIn(anyone, 'ann\u200b'), { user: { username: 'ann' } }, 'an invisible character does not prevent a login')
  for (const username of ['strasse', 'straße', 'STRAẞE', 'ſtrasse']) t.match((await signUp(anyone, username)).json(), { code: 'USERNAME_TAKEN' }, username)

  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  t.match((await ann.post(`/api/conversations/${id}/users`, { username: 'straße' })).json(), { id: withSz })
  t.match((await ann.post(`/api/conversations/${id}/users`, { username: 'STRASSE' })).json(), { id: withSs })
  const owner = (await ann.get('/api/me')).json().id
  const { id: both } = await createConversationStore(db, { ofUsers: app.defaultBot, ofGuests: app.defaultBot }, createTitles(createDirectory(createEngines(settings())), app.defaultBot), () => {}).create({ id: owner, isGuest: false }, { name: 'Both', users: ['Straße', 'straẞe'] })
  t.same((await query('SELECT user_id FROM conversation_users WHERE conversation_id = $1 ORDER BY user_id', [both])).map(({ user_id: user }) => Number(user)), [owner, withSz])
  await t.rejects(createConversationStore(db, { ofUsers: app.defaultBot, ofGuests: app.defaultBot }, createTitles(createDirectory(createEngines(settings())), app.defaultBot), () => {}).create({ id: owner, isGuest: false }, { name: 'Alone', users: ['nobody'] }), { code: 'USER_NOT_FOUND' })
  t.ok(await makeAdmin(db, 'straße'))
  t.same((await query("SELECT id FROM users WHERE role = 'admin'")).map(({ id }) => Number(id)), [withSz])

  const { cookies: [cookie] } = await anyone.post('/api/login', { username: 'ann\ufe0f', password: PASSWORD })
  const renaming = await anyone.patch('/api/me', { username: 'Strasse', current_password: PASSWORD }, { cookie: `${cookie!.name}=${cookie!.value}` })
  t.match(renaming.json(), { code: 'USERNAME_TAKEN' })
  t.match((await anyone.patch('/api/me', { username: 'ANNE', current_password: PASSWORD }, { cookie: `${cookie!.name}=${cookie!.value}` })).json(), { username: 'ANNE' })

  // Every character whose case folding has changed since the former rule.
  const changed = usable.filter(character => keyOf(`a${character}b`) !== formerKeyOf(`a${character}b`) || keyOf(character) !== formerKeyOf(character))
  const sampled = changed.filter((character, nth) => character < '\ufe00' || nth % 8 === 0)
  t.ok(sampled.length > 100, `${sampled.length} of ${changed.length}`)
  const names = sampled.flatMap((character, nth) => [`ab${character}c${nth}`, `i${character}${nth}`, `${character}d${nth}`, `e ${character}${nth}`].filter(name => keyOf(name) !== formerKeyOf(name)))
  await query('INSERT INTO users (username, username_key) SELECT name, key FROM unnest($1::text[], $2::text[]) AS n (name, key)', [names, names.map(formerKeyOf)])
  const free = []
  for (const name of names) {
    const { code } = (await signUp(anyone, keyOf(name))).json()
    if (code !== 'USERNAME_TAKEN' && keyOf(name) === spaced(keyOf(name)) && usernameProblem(keyOf(name)) === undefined && lengthOf(keyOf(name)) >= 3) free.push(`${pointsOf(name)} ${code}`)
  }
  t.same(free, [])
})

// --- phone numbers ---

t.test('all spellings of a phone number lead to one conversation', async t => {
  const { anyone, as, query } = await startApp(t)
  const say = async (phone: string, message: string) => (await anyone.post('/chat', { user_phone: phone, user_message: message })).json()
  t.same(await say('+49 (0) 170 1234567', 'hello'), { user_phone: '+49 (0) 170 1234567', bot_message: 'What is your name?' })
  t.same(await say('０0٤٩ 170 1234567', 'Jo'), { user_phone: '０0٤٩ 170 1234567', bot_message: 'Hello Jo, what is your favorite song?' })
  t.match(await say('+491701234567', 'So What'), { bot_message: 'Playing So What' })
  t.match(await say('49 (0) 170', 'hello'), { statusCode: 400, code: 'INVALID_PHONE', error: /country code/, bot_message: /country code/, user_phone: '49 (0) 170' })
  t.same(await query('SELECT phone_number FROM user_sessions'), [{ phone_number: '491701234567' }])

  // A number that was stored when 00 was not yet read as the international prefix.
  await query("WITH u AS (INSERT INTO users (origin, phone_number) VALUES ('phone', '0049301234') RETURNING id) INSERT INTO identities (channel, address, user_id) SELECT 'phone', '0049301234', id FROM u")
  await Promise.all(['+49 30 1234', '0049 30 1234', '49301234'].map(phone => say(phone, 'hello')))
  t.equal((await query("SELECT DISTINCT user_id FROM identities WHERE address IN ('49301234', '0049301234')")).length, 1)
  t.equal((await query("SELECT FROM users WHERE origin = 'phone'")).length, 2)

  const ann = await as('ann')
  for (const phone_number of ['\u202a+49 (0) 170/1234567\u202c', '٠٣٠-١٢٣٤']) t.equal((await ann.patch('/api/me', { phone_number })).statusCode, 200, phone_number)
  t.match((await ann.patch('/api/me', { phone_number: '49+30 123' })).json(), { statusCode: 400, code: 'INVALID_REQUEST', error: /The \+ must come first/, details: [{ path: 'phone_number' }] })
})
