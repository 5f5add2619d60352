import t, { type Test } from 'tap'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import { SMTPServer } from 'smtp-server'
import { freshDatabase, run } from './support/helper.ts'
import { startIssuer, trusting } from './support/issuer.ts'
import { startOpenIdProvider } from './support/openid.ts'
import { freePort, layCable, openPlace, urlOf, type Place, type Settings } from './support/process.ts'

// What `npm run doctor` finds, before somebody finds it at night.

t.jobs = 4 // for tests that are `buffered`

const WELL = { code: 0, stdout: /^(?:[✓!] .*\n)+$/, stderr: '' }
const examine = async (place: Place, settings: Settings = {}) => await place.run('doctor.ts', [], settings).ended

/** It finds these faults, a line with ✗ each, and no others. */
async function finds (t: Test, place: Place, settings: Settings, ...lines: RegExp[]) {
  const { code, stdout, stderr } = await examine(place, settings)
  t.match(stdout, /^(?:[✓!✗] .*\n)+$/, 'a mark before each line')
  const said = stdout.trimEnd().split('\n').filter(line => line.startsWith('✗')).map(line => line.slice(2))
  t.equal(code, 1, `exit code: ${lines[0]!.source}`)
  t.equal(stderr, '')
  t.equal(said.length, lines.length, stdout)
  for (const [nth, line] of lines.entries()) t.match(said[nth], line)
  t.notMatch(stdout, /s3cret/, 'no secret is said')
}

async function portOf (t: Test, server: net.Server) {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

t.test('all is well out of the box, and nothing is made', { buffered: true }, async t => {
  const place = await openPlace(t)
  t.match(await examine(place), WELL)
  t.notOk(existsSync(place.dataDir), 'not even the folder')
})

t.test('while a server runs, and when it has ended', { buffered: true }, async t => {
  const place = await openPlace(t)
  const port = String(await freePort()) // it is examined again when the server has ended
  const server = await place.serve({ PORT: port })
  const running = await place.runningPostgres()
  t.match(await examine(place, { PORT: port }), WELL, 'that its port is in use is right')
  t.same(await place.runningPostgres(), running, 'its Postgres goes on')
  t.equal((await server.get('/health/ready')).status, 200)
  const everywhere = await place.serve({ HOST: '0.0.0.0' })
  t.match(await examine(place, { PORT: new URL(everywhere.url).port, HOST: '0.0.0.0' }), WELL)
  for (const { kill, ended } of [server, everywhere]) {
    kill('SIGTERM')
    await ended
  }
  t.match(await examine(place, { PORT: port }), WELL)
  t.equal(await place.runningPostgres(), undefined, 'what was started for a look is down again')
})

t.test('settings that cannot be, all of them at once, and what is wrong beside them', { buffered: true }, async t => {
  const place = await openPlace(t)
  await writeFile(path.join(place.folder, '.env'), 'LOG_LEVEL=loud\n')
  await finds(t, place, {
    CORS_ORIGINS: 'http://localhost:3000/',
    JWT_SECRET: 's3cret',
    METRICS_TOKEN: 's3cret',
    DATABASE_URL: 'mysql://s3cret@localhost/chat',
    SMTP_URL: 'smtps://s3cret@[',
    PORT: 'abc',
    META_APP_SECRET: 's3cret'
  },
  /^PORT is "abc"; it must be a whole number from 0 to 65535$/,
  /^DATABASE_URL must begin with postgres:\/\/.*postgres:\/\/user:password@host:5432\/name/,
  /^JWT_SECRET needs at least 32 characters$/,
  /^CORS_ORIGINS: each origin needs .*no slash at the end/,
  /^SMTP_URL must begin with smtp:\/\/ or smtps:/,
  /^METRICS_TOKEN needs at least 16 characters/,
  /^LOG_LEVEL is "loud"; it may be trace, debug/,
  /^WhatsApp is set up in part only: please set META_VERIFY_TOKEN and META_ACCESS_TOKEN and META_PHONE_NUMBER_ID, or none of it\.$/)
})

t.test('a cookie that browsers would drop', { buffered: true }, async t => {
  const place = await openPlace(t)
  await finds(t, place, { COOKIE_SAMESITE: 'none' }, /^Browsers drop the session cookie: COOKIE_SAMESITE=none makes it Secure, and PUBLIC_URL is not https\./)
  await finds(t, place, { PUBLIC_URL: 'http://chat.example.com', CORS_ORIGINS: 'https://elsewhere.example' }, /^Browsers drop the session cookie at https:\/\/elsewhere\.example/)
  const { code, stdout } = await examine(place, { PUBLIC_URL: 'https://chat.example.com' })
  t.equal(code, 0)
  t.match(stdout, /^! PUBLIC_URL is https, and the session cookie Secure: /m)
})

t.test('a sign-in that does not work', { buffered: true }, async t => {
  const place = await openPlace(t)
  const { issuer } = await startIssuer(t)
  const oidc = { OIDC_ISSUER: `${issuer}/realms/ours`, OIDC_CLIENT_ID: 'parley', OIDC_CLIENT_SECRET: 's3cret' }
  await finds(t, place, oidc, /^OpenID Connect: the configuration of http:\/\/127\.0\.0\.1:\d+\/realms\/ours cannot be fetched: discovered metadata issuer does not match the expected issuer\. Please check OIDC_ISSUER\.$/)
  await finds(t, place, { ...oidc, OIDC_ISSUER: 'http://127.0.0.1:1' }, /^OpenID Connect: .* cannot be fetched: connect ECONNREFUSED 127\.0\.0\.1:1\./)
  const provider = await startOpenIdProvider(t, () => ({}))
  const { stdout } = await examine(place, { ...oidc, OIDC_ISSUER: provider.issuer, PUBLIC_URL: 'http://localhost:5000/', PASSWORDS: 'off' })
  t.match(stdout, `✓ OpenID Connect: ${provider.issuer} answers. It must know http://localhost:5000/api/oidc/callback as a redirect URI.\n`)
  t.notMatch(stdout, /Nobody can sign in|[✗]/)
  await t.test('because of an issuer of tokens', async t => {
    const [good, broken, secretive] = [await startIssuer(t), await startIssuer(t), { issuer: 'my-app', audience: 'parley', secret: 's3cret'.repeat(6) }]
    const well = await examine(place, trusting(good.setting, secretive))
    t.match(well, WELL)
    t.match(well.stdout, `✓ Tokens of ${good.issuer}: its keys can be fetched\n`)
    t.same(good.asked, ['/.well-known/openid-configuration', '/jwks'])
    await finds(t, place, trusting(good.setting, { issuer: 'http://127.0.0.1:1', audience: 'parley' }), /^Tokens of http:\/\/127\.0\.0\.1:1: its keys cannot be fetched: connect ECONNREFUSED 127\.0\.0\.1:1\. Please check TRUSTED_ISSUERS\.$/)
    await finds(t, place, trusting({ ...good.setting, issuer: `${good.issuer}/` }), /its keys cannot be fetched: http.* is not the configuration of http.*\/\./)
    broken.answerWith((_request, response) => { response.end('{"keys":[]}') })
    await finds(t, place, trusting({ ...broken.setting, jwks: `${broken.issuer}/jwks` }), /its keys cannot be fetched: It has no keys\./)
  })
  t.match(await examine(place, { PASSWORDS: 'off' }), { code: 0, stdout: /^! Nobody can sign in: PASSWORDS is off/m })
  t.match(await examine(place, { OIDC_CLIENT_ID: 'parley' }), { code: 0, stdout: /^! OpenID Connect is set up in part only, and does not work without OIDC_ISSUER\.$/m })
})

t.test('a database that is away, refuses us, or lacks what it needs', { buffered: true }, async t => {
  const place = await openPlace(t)
  const { url } = await layCable(t, await freshDatabase(t))
  await finds(t, place, { DATABASE_URL: url }, /^No database answers at 127\.0\.0\.1:\d+: connect ECONNREFUSED .*Please start it, or check DATABASE_URL\.$/)
  const database = await freshDatabase(t)
  await finds(t, place, { DATABASE_URL: urlOf({ ...database, database: 'nowhere' }) }, /^The database at .* refuses us: database "nowhere" does not exist\./)
  await finds(t, place, { DATABASE_URL: 'postgres://s3cret@localhost:port/chat' }, /^DATABASE_URL cannot be read/)

  t.match(await examine(place, { DATABASE_URL: urlOf(database) }), WELL)
  await run(database, "INSERT INTO whatsapp_holds (error_code, error, is_by_status, try_at) VALUES (190, 'Session has expired', false, now())")
  await finds(t, place, { DATABASE_URL: urlOf(database) }, /^In database .*: WhatsApp has accepted none of our messages since \d{4}-\d\d-\d\d \d\d:\d\d UTC \(code 190, Session has expired\)\. They are held until it does, .*docs\/whatsapp\.md/)
  await run(database, 'DELETE FROM whatsapp_holds')
  await run(database, `ALTER DATABASE ${database.database} SET default_transaction_read_only = on`)
  await finds(t, place, { DATABASE_URL: urlOf(database) }, /^In database .*: It is read-only, so nothing can be stored: it is a standby/)
  await run({ ...database, options: '-c default_transaction_read_only=off' }, `ALTER DATABASE ${database.database} RESET default_transaction_read_only`)
  await run(database, 'DELETE FROM drizzle.__drizzle_migrations WHERE id = (SELECT max(id) FROM drizzle.__drizzle_migrations)')
  await finds(t, place, { DATABASE_URL: urlOf(database) }, new RegExp(`^In database ${database.database} at .*: 1 of \\d+ migrations are missing: npm run db:migrate applies them`))
  await run(database, "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('x', 9999999999999)")
  await finds(t, place, { DATABASE_URL: urlOf(database) }, /belongs to another version of Parley: please use that version\.$/)
  const latin = await freshDatabase(t, "template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
  await finds(t, place, { DATABASE_URL: urlOf(latin) }, /^In database .*: Its encoding is LATIN1, which cannot store every message\. Please create a database with TEMPLATE template0 ENCODING 'UTF8'\.$/)
  const empty = await freshDatabase(t, 'template0')
  await finds(t, place, { DATABASE_URL: urlOf(empty) }, /: (\d+) of \1 migrations are missing/)
  t.equal((await run(empty, "SELECT FROM pg_tables WHERE schemaname = 'public'")).length, 0, 'nothing was made')
  await run(empty, 'CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (other text)')
  await finds(t, place, { DATABASE_URL: urlOf(empty) }, /^In database .*: column "created_at" does not exist\.$/)
})

t.test('a data folder that is none', { buffered: true }, async t => {
  const place = await openPlace(t)
  const file = path.join(place.folder, 'file')
  await writeFile(file, '')
  await finds(t, place, { DATA_DIR: path.join(file, 'data') }, /^DATA_DIR, .*, cannot be used: .*file is not a folder that we may write to\.$/)
})

t.test('mail that cannot be sent', { buffered: true }, async t => {
  const place = await openPlace(t)
  const smtp = new SMTPServer({ disabledCommands: ['STARTTLS'], allowInsecureAuth: true, disableReverseLookup: true, onAuth: ({ password }, _session, done) => { password === 'right' ? done(null, { user: 'ann' }) : done(new Error('no')) } })
  smtp.on('error', () => { /* whoever is refused goes */ })
  const port = await portOf(t, smtp.server)
  t.match(await examine(place, { SMTP_URL: `smtp://ann:right@127.0.0.1:${port}` }), WELL)
  await finds(t, place, { SMTP_URL: `smtp://ann:s3cret@127.0.0.1:${port}` }, /^Mail cannot be sent: Invalid login.*Please check SMTP_URL\.$/)
  await finds(t, place, { SMTP_URL: 'smtp://127.0.0.1:1' }, /^Mail cannot be sent: connect ECONNREFUSED/)
})

t.test('a port that another program uses, an address that is not ours', { buffered: true }, async t => {
  const place = await openPlace(t)
  const port = await portOf(t, http.createServer((_request, response) => { response.end('something else') }))
  await finds(t, place, { PORT: String(port) }, new RegExp(`^Port ${port} is in use by another program: stop it, or choose another port with PORT\\.$`))
  const deaf = await portOf(t, net.createServer(socket => { socket.destroy() }))
  await finds(t, place, { PORT: String(deaf) }, /^Port \d+ is in use by another program/)
  await finds(t, place, { HOST: '192.0.2.1' }, /^Cannot listen on 192\.0\.2\.1, port 0: .*Please check HOST and PORT\.$/)
})

t.test('a provider that refuses the key, or is not there', { buffered: true }, async t => {
  const place = await openPlace(t)
  const asked: string[] = []
  const port = await portOf(t, http.createServer(async (request, response) => {
    const { model, max_tokens: most } = JSON.parse((await request.toArray()).join(''))
    asked.push(`${request.url} ${model} ${most}`)
    const key = request.headers.authorization ?? request.headers['api-key']
    if (!String(key).endsWith('right')) response.writeHead(401).end('{}')
    else if (model === 'unknown') response.writeHead(404).end('{"error": "no such model"}')
    else if (model === 'web-page') response.end('<html>Welcome</html>')
    else if (model === 'stuck') response.write('data: {"choices": [{"delta": {"reasoning_content": "Hm"}}]}\n\n')
    else response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: model === 'silent' ? '' : `Hi, "Ann"\nHow are you?${'!'.repeat(model === 'talkative' ? 1000 : 0)}` }, finish_reason: 'stop' }] }))
  }))
  const settings = (OPENAI_API_KEY: string, path: string) => ({ OPENAI_API_KEY, OPENAI_BASE_URL: `http://127.0.0.1:${port}${path}` })
  const named = (OPENAI_MODEL: string) => ({ ...settings('right', '/v1'), OPENAI_MODEL })
  const well = await examine(place, settings('right', '/v1'))
  t.match(well, WELL)
  t.match(well.stdout, new RegExp(`^✓ Language model: gpt-4.1-mini at 127.0.0.1:${port} was asked for one token and answered: Hi, "Ann" How are you\\?$`, 'm'))
  t.match(await examine(place, settings('right', '/openai/?api-version=2024-10-21')), WELL)
  t.match((await examine(place, named('talkative'))).stdout, /answered: Hi, "Ann" How are you\?!{78}$/m, 'a long answer is cut')
  t.same(asked, ['/v1/chat/completions gpt-4.1-mini 1', '/openai/chat/completions?api-version=2024-10-21 gpt-4.1-mini 1', '/v1/chat/completions talkative 1'])
  await finds(t, place, named('unknown'), /^The language model unknown at .* answered with status 404: .*no such model.*Please check OPENAI_MODEL and OPENAI_BASE_URL\.$/)
  await finds(t, place, named('web-page'), /^The language model web-page at .* did not answer as a model does: .*Welcome.*Please check OPENAI_MODEL and OPENAI_BASE_URL\.$/)
  await finds(t, place, named('silent'), /^The language model silent at .* did not answer as a model does: .*Please check OPENAI_MODEL and OPENAI_BASE_URL\.$/)
  t.notMatch((await examine(place, { ...named('any'), BOT_TIMEOUT_FIRST: 'soon' })).stdout, /Language model/, 'without the settings that it needs, the check is skipped')
  await finds(t, place, { ...named('stuck'), BOT_TIMEOUT_FIRST: '1' }, /no answer within 1 s\. Please check OPENAI_.*\.$/)
  await finds(t, place, settings('s3cret', '/v1'), new RegExp(`^The language models at 127\\.0\\.0\\.1:${port} refuse OPENAI_API_KEY, with status 401\\.$`))
  const deaf = await portOf(t, net.createServer(() => { /* it says nothing */ }))
  await finds(t, place, { OPENAI_API_KEY: 's3cret', OPENAI_BASE_URL: `http://127.0.0.1:${deaf}/v1`, BOT_TIMEOUT_FIRST: '1' }, /cannot be reached: no answer within 1 s\. Please check OPENAI_BASE_URL\.$/)
  await finds(t, place, { OPENAI_API_KEY: 's3cret', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' }, /^The language models at 127\.0\.0\.1:1 cannot be reached: .*Please check OPENAI_BASE_URL\.$/)
})

t.test('a provider whose answers the server can use is right, whatever it refuses', { buffered: true }, async t => {
  const place = await openPlace(t)
  const port = await portOf(t, http.createServer(async (request, response) => {
    const { model, max_tokens: most, max_completion_tokens: mostToo, stream } = JSON.parse((await request.toArray()).join(''))
    const refuse = (message: string) => { response.writeHead(400).end(JSON.stringify({ error: { message } })) }
    if (model === 'reasoning' && most !== undefined) return refuse("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
    if (model === 'reasoning' && mostToo < 16) return refuse('Could not finish the message because max_tokens or model output limit was reached.')
    if (model === 'streaming' && stream !== true) return refuse('This model only support stream mode, please enable the stream parameter to access the model.')
    if (model === 'whole' && stream === true) return refuse('Streaming is not supported')
    if (stream !== true) return response.end('{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "stop"}]}')
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: {"choices": [{"delta": {"content": "Hi!"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')
  }))
  for (const OPENAI_MODEL of ['reasoning', 'streaming', 'whole']) {
    const said = await examine(place, { OPENAI_API_KEY: 'any', OPENAI_MODEL, OPENAI_BASE_URL: `http://ann:s3cret@127.0.0.1:${port}/v1` })
    t.match(said, WELL, OPENAI_MODEL)
    t.match(said.stdout, new RegExp(`^✓ Language model: ${OPENAI_MODEL} at \\S+ ${OPENAI_MODEL === 'reasoning' ? 'needs more than one token, and' : 'was asked for one token and'} answered: Hi!$`, 'm'))
    t.notMatch(said.stdout, /s3cret/, 'the password in the address is not said')
  }
})

t.test('bots that settings name, webhooks and agents', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const settings = { DATABASE_URL: urlOf(database) }
  await finds(t, place, { ...settings, GUEST_BOT: 'nobody', WHATSAPP_BOT: 'simulated' }, /^GUEST_BOT names a bot that does not exist: nobody\. The bots are .*simulated/)
  const port = await portOf(t, http.createServer((_request, response) => { response.writeHead(405).end() }))
  await run(database, `INSERT INTO chatbots (name, engine, settings)
    VALUES ('helper', 'webhook', '{"url": "http://127.0.0.1:${port}/", "secret": "s3cret"}'), ('agent', 'ag-ui', '{"url": "http://127.0.0.1:${port}/run", "headers": {"x-key": "s3cret"}}')`)
  const { stdout } = await examine(place, { ...settings, WEBHOOK_ALLOW: '127.0.0.1' })
  for (const bot of ['Webhook bot helper', 'AG-UI bot agent']) t.match(stdout, new RegExp(`^✓ ${bot}: 127.0.0.1:${port} answers, with status 405 to HEAD$`, 'm'))
  const refused = 'cannot be reached: 127\\.0\\.0\\.1 is inside our own network\\. To allow that, list it in WEBHOOK_ALLOW\\.$'
  await finds(t, place, settings, new RegExp(`^Webhook bot helper: 127\\.0\\.0\\.1:\\d+ ${refused}`), new RegExp(`^AG-UI bot agent: 127\\.0\\.0\\.1:\\d+ ${refused}`))
  await run(database, "DELETE FROM chatbots WHERE name = 'agent'; UPDATE chatbots SET settings = '{\"url\": \"http://127.0.0.1:1/\", \"secret\": \"s3cret\"}' WHERE name = 'helper'")
  await finds(t, place, { ...settings, WEBHOOK_ALLOW: '127.0.0.1' }, /^Webhook bot helper: 127\.0\.0\.1:1 cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:1\.$/)
})

t.test('a clock that is wrong, and a disk that is full', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  await run(database, `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT now() + interval '1 hour' $$;
    ALTER DATABASE "${database.database}" SET search_path = public, pg_catalog`)
  await finds(t, place, { DATABASE_URL: urlOf(database) }, /^Clock: it differs by 3(600|599|601) s from the database's\. .*NTP\.$/)
  const { stdout } = await examine(place, { DATA_DIR: '/proc/nothing' })
  t.match(stdout, /^! Disk: 0\.0 GiB free for \/proc\/nothing\. The database and backups need more\.$/m)
})

t.test('WhatsApp: the number, the token and our own webhook', { buffered: true }, async t => {
  const place = await openPlace(t)
  const port = await portOf(t, http.createServer(({ url, headers }, response) => {
    const { pathname, searchParams } = new URL(url!, 'http://localhost')
    if (pathname === '/chat/whatsapp') return response.end(searchParams.get('hub.challenge'))
    if (headers.authorization === 'Bearer right') return response.end('{"display_phone_number": "+1 555 0100"}')
    response.writeHead(401).end('{"error": "expired"}')
  }))
  const meta = (changes: Settings = {}) => ({
    META_VERIFY_TOKEN: 'a word', META_APP_SECRET: 's3cret', META_ACCESS_TOKEN: 'right', META_PHONE_NUMBER_ID: '1', META_API_URL: `http://127.0.0.1:${port}/v25.0`, ...changes
  })
  const { stdout } = await examine(place, meta({ PUBLIC_URL: `http://127.0.0.1:${port}` }))
  t.match(stdout, /^✓ WhatsApp: Meta knows the token and the number: .*\+1 555 0100/m)
  t.match(stdout, /^✓ WhatsApp: the webhook answers at http:.*\/chat\/whatsapp$/m)
  t.match((await examine(place, meta())).stdout, /^! WhatsApp: set PUBLIC_URL/m)
  await finds(t, place, meta({ META_ACCESS_TOKEN: 'old' }), /^WhatsApp: Meta answered with status 401: .*expired.*Please check META_ACCESS_TOKEN/)
  await finds(t, place, meta({ META_API_URL: 'http://127.0.0.1:1', PUBLIC_URL: 'http://127.0.0.1:1' }), /^WhatsApp: 127\.0\.0\.1:1 cannot be reached/, /^WhatsApp: the webhook at http:\/\/127\.0\.0\.1:1\/chat\/whatsapp does not answer/)
})
