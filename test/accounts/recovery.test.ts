import t, { type Test } from 'tap'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import path from 'node:path'
import { pino } from 'pino'
import { SMTPServer } from 'smtp-server'
import { hashing } from '../../src/accounts/hashing.ts'
import { createRecoveryStore } from '../../src/accounts/recovery-store.ts'
import { createTokens } from '../../src/accounts/recovery.ts'
import { loggerOptions } from '../../src/http/logging.ts'
import { freshDatabase, run, SECRET, startApp } from '../support/helper.ts'
import { from } from '../support/meta.ts'
import { freePort, layCable, openPlace, until, urlOf } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'
import { start as startWhatsApp } from '../support/whatsapp.ts'

// Password resets and email confirmation, with mails sent by jobs, also when the mail server, the database or a worker fails.

t.jobs = 4 // for tests that are `buffered`

const PASSWORD = 'correct horse'
const SAME_FOR_ALL = { message: 'If an account has this address, a mail with a link is on its way' }

t.test('a user confirms their email address and resets a forgotten password', async t => {
  const mailServer = await startMailServer(t)
  const { anyone, as, query, work } = await startApp(t, { SMTP_URL: mailServer.url, PUBLIC_URL: 'http://chat.example.com/' })
  await work()
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'Ann@example.com' })
  const ann = await as('ann')

  const [welcome] = await mailServer.received(1)
  t.match(welcome, { from: 'no-reply@localhost', to: ['Ann@example.com'], text: /^Hello,\n[^]* within a day:\n\nhttp:\/\/chat\.example\.com\/#verify-email=\S+\n/ })
  for (const line of ['From: Parley <no-reply@localhost>', 'Subject: Confirm your e-mail address', 'Auto-Submitted: auto-generated']) t.ok(welcome!.head.includes(`${line}\r\n`), line)
  t.same((await anyone.post('/api/password/forgot', { email: 'ann@example.com' })).json(), SAME_FOR_ALL)
  await allDone(query)
  t.equal(mailServer.mails.length, 1, 'an address that is not verified gets no link to reset the password')

  const verified = await anyone.post('/api/email/verify', { token: tokenIn(welcome!) })
  t.same([verified.statusCode, verified.json()], [200, { message: 'E-mail address verified' }])

  t.same((await anyone.post('/api/password/forgot', { email: ' ANN@EXAMPLE.COM ' })).json(), SAME_FOR_ALL)
  const [, mail] = await mailServer.received(2)
  t.match(mail, { to: ['Ann@example.com'], text: /the account ann\. [^]* within an hour:\n\nhttp:\/\/chat\.example\.com\/#reset-password=\S+\n/ })
  const token = tokenIn(mail!)
  const [stored] = await query(`SELECT string_agg(row, '') AS all FROM (SELECT t::text AS row FROM one_time_tokens t
    UNION ALL SELECT j::text FROM graphile_worker._private_jobs j) rows`)
  t.notOk(stored.all.includes(token.split('.')[1]), 'the token is not stored in the database')

  const reset = (password: string, token: string) => anyone.post('/api/password/reset', { token, password })
  t.match((await reset('password123', token)).json(), { code: 'INVALID_PASSWORD' })
  const answer = await reset('another horse', token)
  t.same([answer.statusCode, answer.json()], [200, { message: 'Password changed successfully' }], 'the refused password did not use up the link')
  t.equal((await ann.get('/api/me')).statusCode, 401, 'existing sessions are ended')
  t.equal((await anyone.post('/api/login', { username: 'ann', password: PASSWORD })).statusCode, 401)
  t.equal((await anyone.post('/api/login', { username: 'ann', password: 'another horse' })).statusCode, 200)
  t.match((await reset('a third horse', token)).json(), { statusCode: 400, code: 'INVALID_LINK' }, 'the link works once')
})

t.test('the response does not reveal whether an address is known', async t => {
  const mailServer = await startMailServer(t)
  const { anyone, query, work } = await startApp(t, { SMTP_URL: mailServer.url })
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await query('UPDATE users SET email_verified_at = now()')
  const answers = []
  for (const email of ['ann@example.com', 'nobody@example.com', 'ann@example.com']) answers.push(await anyone.post('/api/password/forgot', { email }))
  for (const answer of answers) t.same([answer.statusCode, answer.json()], [200, SAME_FOR_ALL])
  await work()
  await allDone(query)
  t.same(mailServer.mails.map(({ to }) => to), [['ann@example.com'], ['ann@example.com']], 'two requests before the mail was sent cause one reset mail; the other mail confirms the address')

  for (const email of ['a,b@example.com', '<ann@example.com>', 'ann@example.com\r\nBcc: bob@example.com', 'ann', 'a b@example.com']) {
    t.equal((await anyone.post('/api/password/forgot', { email })).statusCode, 400, email)
  }
})

t.test('links that are used, expired or forged are refused', async t => {
  const { anyone, as, query, ...server } = await startApp(t, { DATA_DIR: t.testdir() })
  await server.work()
  for (const username of ['ann', 'bob']) await anyone.post('/api/signup', { username, password: PASSWORD, email: `${username}@example.com` })
  const mails = await filesOf(t, 2)
  const [verifyAnn, verifyBob] = mails.map(tokenIn) as [string, string]
  const verify = async (token: string) => (await anyone.post('/api/email/verify', { token })).json()
  const reset = async (token: string) => (await anyone.post('/api/password/reset', { token, password: 'another horse' })).json()
  const [ann, bob] = [verifyAnn, verifyBob].map(token => token.split('.') as [string, string]) as [[string, string], [string, string]]
  const forged = ['', 'nonsense', verifyAnn.slice(0, -2), `${verifyAnn}A`, `${bob[0]}.${ann[1]}`, `999.${ann[1]}`, `${'9'.repeat(30)}.${ann[1]}`, `0${verifyAnn}0`]
  for (const token of forged) t.match(await verify(token), { statusCode: 400, code: 'INVALID_LINK' }, token)
  t.match(await reset(verifyAnn), { code: 'INVALID_LINK' }, 'the token was made for another purpose')

  await query("UPDATE one_time_tokens SET expires_at = expires_at - interval '1 minute' WHERE id = $1", [ann[0]])
  t.match(await verify(verifyAnn), { code: 'INVALID_LINK' }, 'the row of the token was changed')
  await query("UPDATE one_time_tokens SET expires_at = expires_at + interval '1 minute' WHERE id = $1", [ann[0]])
  await query("UPDATE users SET email = 'new@example.com' WHERE username = 'ann'")
  t.match(await verify(verifyAnn), { code: 'INVALID_LINK' }, 'the user has a different address now')
  await query("UPDATE users SET email = 'Bob@example.com' WHERE username = 'ann'; UPDATE users SET email_verified_at = now() WHERE username = 'ann'")
  t.match(await verify(verifyBob), { statusCode: 409, code: 'EMAIL_TAKEN' }, 'the address is taken, in another case')
  await query("UPDATE users SET email = 'ann@example.com' WHERE username = 'ann'")
  t.match(await verify(verifyBob), { message: 'E-mail address verified' }, 'the link was not used up')
  t.match(await verify(verifyBob), { code: 'INVALID_LINK' })

  await t.test('a link that is used twice at the same moment works once', async () => {
    await query("UPDATE users SET email = 'new@example.com', email_verified_at = NULL WHERE username = 'bob'")
    await query('UPDATE one_time_tokens SET used_at = NULL WHERE id = $1', [bob[0]])
    await query("UPDATE users SET email = 'bob@example.com' WHERE username = 'bob'")
    const held = await server.db.$client.connect()
    await held.query("BEGIN; SELECT FROM users WHERE username = 'bob' FOR UPDATE")
    const answers = Promise.all([verify(verifyBob), verify(verifyBob)])
    await until(async () => (await query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length === 2)
    await held.query('COMMIT')
    held.release()
    t.same((await answers).map(({ code }) => code).sort(), ['INVALID_LINK', undefined])
  })

  await t.test('only one of several links to reset a password works, and only once', async () => {
    const forgot = async (n: number) => {
      await anyone.post('/api/password/forgot', { email: 'ann@example.com' })
      return tokenIn((await filesOf(t, n)).at(-1)!)
    }
    const tokens = [await forgot(3), await forgot(4)]
    await query("UPDATE users SET email_verified_at = NULL WHERE username = 'ann'")
    for (const token of tokens) t.match(await reset(token), { code: 'INVALID_LINK' }, 'the address must still be verified')
    await query("UPDATE users SET email_verified_at = now() WHERE username = 'ann'")
    const answers = await Promise.all([...tokens, ...tokens].map(reset))
    t.equal(answers.filter(({ message }) => message === 'Password changed successfully').length, 1)
    t.equal(answers.filter(({ code }) => code === 'INVALID_LINK').length, 3)
    const late = await forgot(5)
    await query('UPDATE one_time_tokens SET expires_at = now() WHERE used_at IS NULL')
    t.match(await reset(late), { code: 'INVALID_LINK' }, 'an hour later')
  })

  /** Waits until the test's folder has this number of mails, and returns them in the order of their tokens. */
  async function filesOf (t: Test, count: number) {
    const folder = path.join(t.testdirName, 'mail')
    const number = (name: string) => Number(/\d+/.exec(name))
    const names = await until(async () => {
      const names = (await readdir(folder).catch(() => [])).sort((a, b) => number(a) - number(b))
      return names.length === count ? names : undefined
    })
    await allDone(query)
    return await Promise.all(names.map(async name => await readMail(path.join(folder, name))))
  }
})

t.test('the confirmation mail can be requested again, up to a limit', async t => {
  const mailServer = await startMailServer(t)
  const { anyone, as, query, work } = await startApp(t, { SMTP_URL: mailServer.url })
  await work()
  t.equal((await anyone.post('/api/email/resend')).statusCode, 401)
  const bob = await as('bob')
  t.match((await bob.post('/api/email/resend')).json(), { statusCode: 409, code: 'NOTHING_TO_VERIFY' })

  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  const ann = await as('ann')
  for (let n = 0; n < 4; n++) t.same((await ann.post('/api/email/resend')).json(), { message: 'A mail with a link is on its way' })
  t.match((await ann.post('/api/email/resend')).json(), { statusCode: 429, code: 'TOO_MANY_REQUESTS' })
  const mails = await mailServer.received(5)
  t.equal(new Set(mails.map(tokenIn)).size, 5)
  t.equal((await anyone.post('/api/email/verify', { token: tokenIn(mails[0]!) })).statusCode, 200)
  t.match((await ann.post('/api/email/resend')).json(), { code: 'NOTHING_TO_VERIFY' })

  for (let n = 0; n < 7; n++) {
    await anyone.post('/api/password/forgot', { email: 'ann@example.com' })
    await allDone(query)
  }
  t.equal(mailServer.mails.length, 10, 'five of each kind in an hour')
})

t.test('an address gets at most five mails an hour, no matter who requests them and how it is spelled', async t => {
  const { anyone, as, query, connection } = await startApp(t)
  const there = await startApp(t, {}, undefined, connection)
  const signUp = async (username: string, email: string) => await anyone.post('/api/signup', { username, password: PASSWORD, email })
  const sent = async () => (await query('SELECT FROM one_time_tokens')).length
  const spellings = ['victim@example.com', 'VICTIM@Example.COM.', 'victim@ｅｘａｍｐｌｅ.com', 'victim@example。com', 'victim@exa\u00admple.com']
  for (const [n, email] of spellings.entries()) t.equal((await signUp(`stranger ${n}`, email)).statusCode, 201)
  t.equal(await sent(), 5)
  for (let n = 5; n < 8; n++) t.equal((await signUp(`stranger ${n}`, spellings[n % 5]!)).statusCode, 201, 'the account is created nevertheless')
  t.equal(await sent(), 5, 'no further mail is sent')
  const victim = await as('stranger 7')
  t.match((await victim.get('/api/me')).json(), { email: 'victim@example.com', is_email_verified: false })
  const refused = await victim.post('/api/email/resend')
  t.match(refused.json(), { statusCode: 429, code: 'TOO_MANY_REQUESTS' })
  t.ok(Number(refused.headers['retry-after']) > 3500, 'the client should wait for about an hour')
  const other = await as('other')
  t.equal((await other.patch('/api/me', { email: 'Victim@example.com', current_password: PASSWORD })).statusCode, 200)
  t.equal(await sent(), 5, 'a change of address sends no further mail either')

  for (let n = 0; n < 5; n++) t.equal((await (await as(`stranger ${n}`)).delete('/api/me', {}, { password: PASSWORD })).statusCode, 204)
  t.equal((await signUp('once more', 'victim@example.com')).statusCode, 201)
  t.equal(await sent(), 5, 'mails of deleted accounts still count')
  t.notMatch(JSON.stringify(await query('SELECT t::text FROM one_time_tokens t WHERE user_id IS NULL')), /victim/, 'deleted accounts keep only a hash of the address')
  await query("UPDATE one_time_tokens SET created_at = created_at - interval '61 minutes'")
  t.equal((await (await as('once more')).post('/api/email/resend')).statusCode, 200, 'an hour later')

  await query('DELETE FROM one_time_tokens')
  const racing = await Promise.all(Array.from({ length: 16 }, (_, n) =>
    [anyone, there.anyone][n % 2]!.post('/api/signup', { username: `racer ${n}`, password: PASSWORD, email: `${n % 2 ? 'R' : 'r'}acer@example.com` })))
  t.same(racing.map(({ statusCode }) => statusCode), Array(16).fill(201))
  t.equal(await sent(), 5, 'concurrent requests on all instances are counted')

  await query('DELETE FROM one_time_tokens')
  const changing = await Promise.all(Array.from({ length: 8 }, (_, n) =>
    [other, there.clientOf(other.headers)][n % 2]!.patch('/api/me', { email: `address${n}@example.com`, current_password: PASSWORD })))
  t.same(changing.map(({ statusCode }) => statusCode).sort(), [...Array(5).fill(200), ...Array(3).fill(429)], 'an account can cause five mails, to any addresses')
  t.equal((await anyone.post('/api/signup', { username: 'odd', password: PASSWORD, email: 'odd@exa\u00e9mple..x\ud83d\ude00' })).statusCode, 201, 'an address with an invalid domain is accepted unchanged')
})

t.test('a link to reset a password is checked before anything is hashed, and becomes invalid when the address changes', async t => {
  const { anyone, as, query, db } = await startApp(t)
  const recoveries = createRecoveryStore(db)
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await query('UPDATE users SET email_verified_at = now()')
  const ann = await as('ann')
  const issue = async () => {
    await recoveries.beginReset('ANN@example.com')
    const [row] = await query("SELECT id::int, purpose, user_id::int AS \"userId\", address, expires_at AS \"expiresAt\" FROM one_time_tokens WHERE purpose = 'password_reset' ORDER BY id DESC LIMIT 1")
    return createTokens(SECRET).of(row as never)
  }
  // Other tests hash passwords at the same time, so only hashes of this password are counted.
  const NEW_PASSWORD = 'another horse for this one test'
  const digest = createHash('sha256').update(NEW_PASSWORD).digest('base64')
  const captured = t.capture(hashing, 'hash', hashing.hash)
  const hashed = () => captured().filter(({ args: [given] }) => given === digest)
  const refuse = async (token: string, why: string) => {
    t.match((await anyone.post('/api/password/reset', { token, password: NEW_PASSWORD })).json(), { statusCode: 400, code: 'INVALID_LINK' }, why)
    t.match((await anyone.post('/api/password/reset', { token, password: 'password1' })).json(), { code: 'INVALID_LINK' }, `${why}: checked before the password`)
    t.equal(hashed().length, 0, `${why}: nothing was hashed`)
  }
  const move = async (email: string | null) => t.equal((await ann.patch('/api/me', { email, current_password: PASSWORD })).statusCode, 200)
  const verify = () => query("UPDATE users SET email_verified_at = now() WHERE username = 'ann'")

  const first = await issue()
  await refuse('1.nonsense', 'a forged link')
  await move('ANN@example.com')
  await verify()
  await move('elsewhere@example.com')
  await verify()
  await refuse(first, 'the address was changed')
  await move('ann@example.com')
  await verify()
  await refuse(first, 'the address was changed back')
  const second = await issue()
  await move(null)
  await refuse(second, 'the address was removed')
  await move('ann@example.com')
  await verify()
  await refuse(second, 'the address was added again')
  const third = await issue()
  await query("UPDATE users SET email_verified_at = NULL WHERE username = 'ann'")
  await refuse(third, 'the address is not verified')
  await verify()
  t.equal((await anyone.post('/api/password/reset', { token: third, password: NEW_PASSWORD })).statusCode, 200)
  t.equal(hashed().length, 1, 'with a valid link the password is hashed')
  await refuse(third, 'a used link')
})

t.test('without a mail server the log says in which file a mail is', async t => {
  const folder = path.join(t.testdir(), 'data')
  const { logged, logger } = listen()
  const { anyone, work } = await startApp(t, { DATA_DIR: folder }, logger)
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'josé@example.com' })
  await work()
  const [, file] = await until(() => /"file":"([^"]+)"/.exec(logged.join(''))) as unknown as [string, string]
  t.match(file, new RegExp(`^${folder}/mail/verify-email-1\\.eml$`))
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.equal((await stat(path.dirname(file))).mode & 0o777, 0o700)
  const mail = await readMail(file)
  t.match(mail.text, /^Hello,\n[^]*^http:\/\/localhost:5000\/#verify-email=1\.[\w-]{43}$/m, 'the link is on one line')
  for (const line of ['To: josé@example.com', 'Content-Transfer-Encoding: 8bit']) t.ok(mail.head.includes(`${line}\r\n`), line)
  t.notOk(logged.join('').includes(tokenIn(mail)), 'the log does not contain the link')
})

t.test('a mail is sent as soon as the mail server is reachable again', { buffered: true }, async t => {
  const mailServer = await startMailServer(t)
  await mailServer.close()
  const { logged, logger } = listen()
  const { anyone, query, work } = await startApp(t, { SMTP_URL: mailServer.url }, logger)
  await work()
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await until(async () => (await query('SELECT FROM graphile_worker.jobs WHERE attempts = 1 AND last_error IS NOT NULL')).length === 1)
  await mailServer.open()
  const [mail] = await mailServer.received(1)
  t.match(mail, { to: ['ann@example.com'] })
  await allDone(query)
  t.equal(mailServer.mails.length, 1)
  t.match(logged.find(line => line.includes('A job failed')), /"level":50,.*"message":"connect ECONNREFUSED [^"]+".*"task":"send-mail","attempt":1/)
  t.notMatch(logged.join(''), /ann@example\.com|"payload"/)
})

t.test('after a long outage of the mail server the link arrives while it is valid', { buffered: true }, async t => {
  const mailServer = await startMailServer(t)
  const { anyone, query, work } = await startApp(t, { SMTP_URL: mailServer.url })
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  /** The minutes until the next attempt, when this one has failed. Each pause of graphile-worker is longer than the one before. */
  const pauseAfterAttempt = async (attempt: number) => {
    await query('UPDATE graphile_worker._private_jobs SET attempts = $1, last_error = NULL, run_at = now()', [attempt - 1])
    const worker = await work()
    const [{ minutes }] = await until(async () => {
      const rows = await query('SELECT extract(epoch FROM run_at - now()) / 60 AS minutes FROM graphile_worker.jobs WHERE last_error IS NOT NULL')
      return rows.length > 0 ? rows : undefined
    })
    await worker.stop()
    return Number(minutes)
  }

  mailServer.refuse(550)
  t.ok(await pauseAfterAttempt(8) > 30, 'a mail that the server refuses is seldom sent again')
  mailServer.refuse(451)
  t.ok(await pauseAfterAttempt(8) < 10, 'a server that is busy is asked again within minutes')
  await mailServer.close()
  t.ok(await pauseAfterAttempt(8) < 10, 'so is one that is away')
  t.ok(await pauseAfterAttempt(25) < 10, 'for as long as the link is valid')
})

t.test('mails that wait for a mail server that does not answer do not hold up WhatsApp', { buffered: true }, async t => {
  const port = await freePort()
  const { anyone, query, work, meta, deliver } = await startWhatsApp(t, { bot: 'simulated', works: false, changes: { SMTP_URL: `smtp://127.0.0.1:${port}`, RATE_LIMITS: 'off' } })
  for (let n = 0; n < 12; n++) await anyone.post('/api/signup', { username: `user${n}`, password: PASSWORD, email: `user${n}@example.com` })
  const refused = await work()
  await until(async () => (await query('SELECT FROM graphile_worker.jobs WHERE last_error IS NOT NULL')).length === 12)
  await refused.stop()

  const silent = createServer()
  const connections = new Set<Socket>()
  silent.on('connection', connection => connections.add(connection))
  silent.listen(port, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    silent.close()
    for (const connection of connections) connection.destroy()
  })
  await query('UPDATE graphile_worker._private_jobs SET attempts = 1, run_at = now()')
  await deliver(from('16505551234', 'Hello'))
  await work()
  await until(() => meta.sent.length > 0)
  t.ok((await query("SELECT FROM graphile_worker.jobs WHERE task_identifier = 'send-mail' AND attempts = 1")).length > 0, 'the reply is sent before all mails were tried again')
})

t.test('a mail whose link has expired is not sent', async t => {
  const mailServer = await startMailServer(t)
  const { anyone, query, work } = await startApp(t, { SMTP_URL: mailServer.url })
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await query('UPDATE one_time_tokens SET expires_at = now()')
  await work()
  await allDone(query)
  t.equal(mailServer.mails.length, 0)
})

t.test('when a server is killed while it sends a mail, another server sends the mail', { buffered: true }, async t => {
  const mailServer = await startMailServer(t)
  const release = mailServer.hold()
  const database = await freshDatabase(t)
  const place = await openPlace(t)
  const settings = { DATABASE_URL: urlOf(database), SMTP_URL: mailServer.url }
  const first = await place.serve(settings)
  await first.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await mailServer.received(1)
  const second = await place.serve(settings)
  first.kill('SIGKILL')
  const killed = performance.now()
  await first.ended
  release()
  const [lost, sent] = await mailServer.received(2)
  isPrompt(t, killed, 15_000, 'sent again')
  t.equal(tokenIn(sent!), tokenIn(lost!), 'with the same link')
  const messageId = /^Message-ID: <\w{32}@localhost>\r$/m
  t.equal(messageId.exec(sent!.head)?.[0], messageId.exec(lost!.head)?.[0])
  await allDone(sql => run(database, sql))

  await second.post('/api/email/verify', { token: tokenIn(sent!) })
  const again = mailServer.hold()
  await second.post('/api/password/forgot', { email: 'ann@example.com' })
  await mailServer.received(3)
  second.kill('SIGTERM')
  await until(() => second.get('/health/live').then(({ status }) => status === 503, () => true))
  again()
  t.equal((await second.ended).code, 0)
  t.same(await run(database, 'SELECT task_identifier, attempts, last_error FROM graphile_worker.jobs WHERE task_identifier <> \'tidy\''), [], 'a server that gets SIGTERM finishes the jobs that it has begun')
  t.same(await run(database, "SELECT FROM workers WHERE seen_at > now() - interval '5 seconds'"), [])
})

t.test('a mail is sent again, with the same link, if the database fails while it is being sent', { buffered: true }, async t => {
  const mailServer = await startMailServer(t)
  const release = mailServer.hold()
  const database = await freshDatabase(t)
  const cable = await layCable(t, database)
  await cable.open()
  const { logged, logger } = listen()
  const { anyone, work } = await startApp(t, { SMTP_URL: mailServer.url }, logger, { connectionString: cable.url })
  const worker = await work()
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await mailServer.received(1)
  await cable.close()
  release()
  await until(() => !worker.isWorking()) // it cannot record that the mail was sent
  await until(() => logged.some(line => line.includes('A heartbeat of the job worker failed')))
  await cable.open()
  const mails = await mailServer.received(2)
  t.equal(new Set(mails.map(tokenIn)).size, 1, 'the mail is sent once more, with the same link')
  t.ok(worker.isWorking())
  await allDone(sql => run(database, sql))
  t.equal((await anyone.get('/health/ready')).statusCode, 200)

  await cable.close()
  await worker.stop()
  t.notOk(worker.isWorking(), 'the worker stops even if the database is away')
  await cable.open()
  t.match((await anyone.get('/health/ready')).json(), { code: 'UNAVAILABLE' }, 'a server without a job worker is not ready')
})

t.test('a worker whose first query fails starts again', { buffered: true }, async t => {
  const mailServer = await startMailServer(t)
  const { anyone, query, work } = await startApp(t, { SMTP_URL: mailServer.url })
  await anyone.post('/api/signup', { username: 'ann', password: PASSWORD, email: 'ann@example.com' })
  await query('ALTER TABLE graphile_worker._private_tasks RENAME TO hidden')
  const worker = await work()
  await until(() => !worker.isWorking())
  await query('ALTER TABLE graphile_worker.hidden RENAME TO _private_tasks')
  await mailServer.received(1)
  t.ok(worker.isWorking())
})

/** Returns a logger that is configured like the server's, and an array of the lines that it writes. */
function listen () {
  const logged: string[] = []
  return { logged, logger: pino(loggerOptions({ LOG_LEVEL: 'trace' }, false), { write: (line: string) => { logged.push(line) } }) }
}

interface Mail { from: string, to: string[], head: string, text: string }

/** A mail server. A mail that it holds has been received, but the sender gets no confirmation. */
async function startMailServer (t: Test) {
  const mails: Mail[] = []
  let held: Promise<void> | undefined
  let refusal: number | undefined
  const port = await freePort() // it is closed and opened again
  let server: SMTPServer

  async function open () {
    server = new SMTPServer({
      disabledCommands: ['AUTH', 'STARTTLS'],
      disableReverseLookup: true,
      onRcptTo (_address, _session, done) {
        done(refusal === undefined ? null : Object.assign(new Error('Not now'), { responseCode: refusal }))
      },
      async onData (stream, { envelope }, done) {
        const chunks: Buffer[] = []
        for await (const chunk of stream) chunks.push(chunk)
        mails.push({
          from: envelope.mailFrom === false ? '' : envelope.mailFrom.address,
          to: envelope.rcptTo.map(({ address }) => address),
          ...parse(Buffer.concat(chunks))
        })
        await held
        done()
      }
    })
    server.on('error', () => { /* a client that was killed */ })
    server.listen(port, '127.0.0.1')
    await once(server.server, 'listening')
  }
  const close = () => new Promise<void>(resolve => server.close(resolve))

  await open()
  t.teardown(close)
  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    open,
    close,
    /** Refuses all recipients from now on, with this reply code. */
    refuse (code: number) { refusal = code },
    /** Holds all mails from now on, until the returned function is called. */
    hold () {
      const { promise, resolve } = withResolvers()
      held = promise
      return resolve
    },
    received: (count: number) => until(() => mails.length >= count ? mails : undefined)
  }
}

function withResolvers () {
  let resolve = () => {}
  const promise = new Promise<void>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}

async function readMail (file: string) {
  return parse(await readFile(file))
}

function parse (message: Buffer) {
  const end = message.indexOf('\r\n\r\n')
  const head = message.toString('utf8', 0, end + 2)
  const body = message.subarray(end + 4)
  return { head, text: (/quoted-printable/.test(head) ? unquoted(body) : body.toString()).replaceAll('\r\n', '\n') }
}

/** @see RFC 2045, section 6.7 */
function unquoted (body: Buffer) {
  const bytes = body.toString('latin1').replace(/=\r\n/g, '').replace(/=(..)/g, (_quoted, code: string) => String.fromCharCode(parseInt(code, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}

function tokenIn ({ text }: Pick<Mail, 'text'>) {
  return /#[\w-]+=(\S+)/.exec(text)![1]!
}

/** Waits until there are no jobs left. */
async function allDone (query: (sql: string) => Promise<unknown[]>) {
  await until(async () => (await query('SELECT FROM graphile_worker.jobs WHERE task_identifier <> \'tidy\'')).length === 0)
}

t.test('after a change of JWT_SECRET, sessions and links in mails stay valid', async t => {
  const mailServer = await startMailServer(t)
  const first = await startApp(t, { SMTP_URL: mailServer.url })
  await first.work()
  const ann = await first.as('ann', PASSWORD)
  await ann.patch('/api/me', { email: 'ann@example.com', current_password: PASSWORD })
  const [mail] = await mailServer.received(1)
  const [JWT_SECRET, other] = ['the new secret, longer than 32 bytes', 'quite another secret of 32 bytes']
  const next = await startApp(t, { JWT_SECRET, JWT_SECRET_PREVIOUS: SECRET }, undefined, first.connection)
  const without = await startApp(t, { JWT_SECRET }, undefined, first.connection)
  const wrong = await startApp(t, { JWT_SECRET, JWT_SECRET_PREVIOUS: other }, undefined, first.connection)

  t.equal((await next.clientOf(ann.headers).get('/api/me')).statusCode, 200)
  for (const app of [without, wrong]) {
    t.equal((await app.clientOf(ann.headers).get('/api/me')).statusCode, 401)
    t.match((await app.anyone.post('/api/email/verify', { token: tokenIn(mail!) })).json(), { code: 'INVALID_LINK' })
  }
  t.equal((await next.anyone.post('/api/email/verify', { token: tokenIn(mail!) })).statusCode, 200)
  const again = await next.as('ann', PASSWORD)
  t.equal((await without.clientOf(again.headers).get('/api/me')).statusCode, 200, 'new tokens are signed with the new secret')
})
