import t from 'tap'
import { readFileSync } from 'node:fs'
import { ConfigSchema, examineConfig, readConfig, signInWarnings } from '../src/config.ts'

t.test('.env.example names every setting with its default', async t => {
  const lines = readFileSync('.env.example', 'utf8').split('\n').flatMap(line => /^#([A-Z_]+)=(.*)$/.exec(line) ?? [])
  const named = Object.fromEntries(lines.flatMap((name, n) => n % 3 === 1 ? [[name, lines[n + 1]]] : []))
  const defaults = Object.entries(ConfigSchema.properties).map(([name, schema]) => [name, String((schema as { default?: unknown }).default ?? '')])
  t.same(named, Object.fromEntries(defaults))
})

t.test('what webhooks may reach is names, addresses and networks', async t => {
  for (const WEBHOOK_ALLOW of ['bot.internal', 'localhost, 10.0.0.0/8,fd00::/8', '127.0.0.1', '::1', 'Bot_1.internal']) {
    t.equal(readConfig({ WEBHOOK_ALLOW }).WEBHOOK_ALLOW, WEBHOOK_ALLOW)
  }
  for (const WEBHOOK_ALLOW of ['10.0.0.0/33', '10.0.0.300', '0x7f.1', 'http://bot.internal', 'bot.internal:80', 'bot/1', 'a,,b', '*.internal,']) {
    t.throws(() => readConfig({ WEBHOOK_ALLOW }), { message: /WEBHOOK_ALLOW must be names, addresses or networks/ }, WEBHOOK_ALLOW)
  }
})

t.test('proxies that are trusted are addresses and networks', async t => {
  for (const TRUST_PROXY of ['true', '1', '10.0.0.0/33', '10.0.0.0/0', '::1/129', '10.0.0.0/255.0.0.0', 'loopback/8', '127.0.0.1,', 'proxy.example.com']) {
    t.throws(() => readConfig({ TRUST_PROXY }), { message: /^Please correct these settings .*\n {2}TRUST_PROXY must be addresses or networks/ }, TRUST_PROXY)
  }
})

t.test('an issuer for signing in has an https address, or one of this machine', async t => {
  for (const OIDC_ISSUER of ['https://login.example.com', 'https://login.example.com/realms/a', 'https://tenant.auth0.com/', 'http://localhost:8080/realms/a', 'http://127.0.0.1:9', 'http://[::1]:9/']) {
    t.equal(readConfig({ OIDC_ISSUER }).OIDC_ISSUER, OIDC_ISSUER)
  }
  for (const OIDC_ISSUER of ['login.example.com', 'http://login.example.com', 'http://localhost.example.com', 'http://127.0.0.1.example.com', 'http://10.0.0.1', 'https://login.example.com?a=b', 'https://login.example.com#a', 'https://[', 'https:///a']) {
    t.throws(() => readConfig({ OIDC_ISSUER }), { message: /OIDC_ISSUER must be the https address of an issuer/ }, OIDC_ISSUER)
  }
  t.throws(() => readConfig({ OIDC_NAME: 'x'.repeat(41) }), { message: /OIDC_NAME must have 1 to 40 characters/ })
  t.throws(() => readConfig({ PASSWORDS: 'no' }), { message: /PASSWORDS is "no"; it may be on, off/ })
})

t.test('settings with which nobody can sign in are noticed', async t => {
  const OIDC_ISSUER = 'https://login.example.com'
  const OIDC_CLIENT_ID = 'parley'
  const LOCKED_OUT = 'Nobody can sign in: PASSWORDS is off, and neither OIDC_ISSUER with OIDC_CLIENT_ID nor TRUSTED_ISSUERS is set.'
  const partial = (names: string) => `OpenID Connect is set up in part only, and does not work without ${names}.`
  const table: Array<[NodeJS.ProcessEnv, string[]]> = [
    [{}, []],
    [{ OIDC_ISSUER, OIDC_CLIENT_ID }, []],
    [{ OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET: 's3cret', PASSWORDS: 'off' }, []],
    [{ TRUSTED_ISSUERS: '[{"issuer": "https://login.example.com", "audience": "chat"}]', PASSWORDS: 'off' }, []],
    [{ OIDC_ISSUER }, [partial('OIDC_CLIENT_ID')]],
    [{ OIDC_CLIENT_ID }, [partial('OIDC_ISSUER')]],
    [{ OIDC_CLIENT_SECRET: 's3cret' }, [partial('OIDC_ISSUER and OIDC_CLIENT_ID')]],
    [{ PASSWORDS: 'off' }, [LOCKED_OUT]],
    [{ OIDC_ISSUER, PASSWORDS: 'off' }, [partial('OIDC_CLIENT_ID'), LOCKED_OUT]]
  ]
  for (const [environment, expected] of table) t.same(signInWarnings(readConfig(environment)), expected, JSON.stringify(environment))
})

t.test('settings that are wrong are told in words, all at once, without secrets', async t => {
  const told = (environment: NodeJS.ProcessEnv) => {
    try {
      readConfig(environment)
      return []
    } catch (error) {
      return (error as Error).message.split('\n  ').slice(1)
    }
  }
  t.same(told({
    LOG_LEVEL: 'verbose',
    PUBLIC_URL: 'chat.example.com',
    API_KEYS: 's3cret',
    PORT: 'abc',
    BOT_TIMEOUT: '0',
    RATE_LIMIT: '0',
    JWT_SECRET: 's3cret',
    DATABASE_URL: 'mysql://s3cret@localhost/chat',
    CORS_ORIGINS: 'http://localhost:3000/',
    MAX_EVENT_LOOP_DELAY: '-1',
    MAIL_FROM: 'nobody',
    CORS_ORIGIN: 'http://x'
  }), [
    'PORT is "abc"; it must be a whole number from 0 to 65535',
    'PUBLIC_URL needs http:// or https:// in front: "chat.example.com"',
    'DATABASE_URL must begin with postgres://, such as postgres://user:password@host:5432/name',
    'JWT_SECRET needs at least 32 characters',
    'CORS_ORIGINS: each origin needs http:// or https:// in front and no slash at the end, such as https://app.example.com: "http://localhost:3000/"',
    'API_KEYS: each key needs at least 16 characters',
    'BOT_TIMEOUT is "0"; it must be a number, more than 0 and at most 1000000',
    'MAIL_FROM must be a mail address, such as Parley <no-reply@example.com>: "nobody"',
    'RATE_LIMIT is "0"; it must be a whole number, 1 or more',
    'MAX_EVENT_LOOP_DELAY is "-1"; it must be a number from 0 to 1000',
    'LOG_LEVEL is "verbose"; it may be trace, debug, info, warn, error, fatal, silent',
    'CORS_ORIGIN is not a setting. Did you mean CORS_ORIGINS?'
  ])
  t.same(told({ PUBLIC_URL: 'https://chat.example.com/chat' }), ['PUBLIC_URL must be an address without a path, such as https://chat.example.com: "https://chat.example.com/chat"'])
})

t.test('numbers beyond all limits are refused, and blank settings count as unset', async t => {
  const numeric = (Object.entries(ConfigSchema.properties) as Array<[string, { type?: string }]>)
    .flatMap(([name, { type }]) => type === 'integer' || type === 'number' ? name : [])
  for (const value of ['Infinity', '-Infinity', '1e400']) {
    const { faults } = examineConfig(Object.fromEntries(numeric.map(name => [name, value])))
    t.same(faults.map(({ setting }) => setting).sort(), [...numeric].sort(), value)
    for (const { setting, sentence } of faults) t.ok(sentence.startsWith(`${setting} is "${value}"; it must be a`), sentence)
  }
  t.match(examineConfig({ BUDGET_TOKENS_PER_USER_DAY: '1e19', BUDGET_TOKENS_PER_KEY_DAY: '1e19' }).faults, [{}, {}], 'more than Postgres can compare')
  t.equal(readConfig({ OIDC_NAME: 'Infinity' }).OIDC_NAME, 'Infinity', 'a name')
  t.same(readConfig(Object.fromEntries(Object.keys(ConfigSchema.properties).map(name => [name, ' \n']))), readConfig({}), 'blank')
})

t.test('a secret that another program holds, too, is refused with the line break of the file it was read from', async t => {
  const ownForms = ['DATABASE_URL', 'SMTP_URL', 'TRUSTED_ISSUERS', 'JWT_SECRET', 'JWT_SECRET_PREVIOUS'] // addresses, JSON, and what only Parley compares
  const secrets = (Object.entries(ConfigSchema.properties) as Array<[string, { 'x-secret'?: true }]>)
    .flatMap(([name, schema]) => schema['x-secret'] === true && !ownForms.includes(name) ? name : [])
  t.ok(secrets.includes('META_APP_SECRET') && secrets.includes('META_VERIFY_TOKEN'))
  for (const name of secrets) {
    const value = 'a-secret-of-a-good-length'
    t.same(examineConfig({ [name]: value }).faults.filter(({ setting }) => setting === name), [], name)
    const [fault] = examineConfig({ [name]: `${value}\n` }).faults
    t.equal(fault?.setting, name)
    t.notMatch(fault?.sentence, value)
  }
})

t.test('every setting whose text can be wrong says what it may be', async t => {
  for (const [name, schema] of Object.entries(ConfigSchema.properties) as Array<[string, { pattern?: string, format?: string, 'x-rule'?: string }]>) {
    if (schema.pattern !== undefined || schema.format !== undefined) t.match(schema['x-rule'], /^[: ] ?\w/, name)
  }
})

t.test('names that look like a mistyped setting are told, others are not', async t => {
  const notes = (...names: string[]) => examineConfig(Object.fromEntries(names.map(name => [name, 'x']))).notes
  t.same(notes('OPENAI_APIKEY', 'JWTSECRET', 'SMPT_URL', 'RATE_LIMIT_LOGINS', 'log_level'), [
    'OPENAI_APIKEY is not a setting. Did you mean OPENAI_API_KEY?',
    'JWTSECRET is not a setting. Did you mean JWT_SECRET?',
    'SMPT_URL is not a setting. Did you mean SMTP_URL?',
    'RATE_LIMIT_LOGINS is not a setting. Did you mean RATE_LIMIT_LOGIN?',
    'log_level is not a setting. Did you mean LOG_LEVEL?'
  ])
  t.same(notes('OPENAI_KEY', 'JWT_SECRET_KEY', 'openai_model_name'), [
    'OPENAI_KEY is not a setting. Did you mean OPENAI_API_KEY?',
    'JWT_SECRET_KEY is not a setting. Did you mean JWT_SECRET?',
    'openai_model_name is not a setting. Did you mean OPENAI_MODEL?'
  ], 'a word more or less')
  t.same(examineConfig({ DATABASE_URL: 'postgres://one', DATABASE_PUBLIC_URL: 'postgres://two' }).notes, [], 'beside the setting, such a name is another one')
  t.same(notes('PATH', 'HOME', 'HOSTNAME', 'USER', 'PWD', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'POSTGRES_PASSWORD', 'DATABASE_HOST', 'NODE_ENV', 'PORTS', 'HOST_PORT', 'npm_config_cache'), [])
  t.same(examineConfig({ ...process.env }).notes, [], 'nothing that a usual environment has')
})
