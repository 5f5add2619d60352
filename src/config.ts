import { Type, type Static } from 'typebox'
import envSchema from 'env-schema'
import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { CANNOT_START } from './errors.ts'
import { readTrustedIssuers } from './text/trusted-issuers.ts'
import { describeSettingFault, mistypedSettings } from './text/setting-faults.ts'

/** The development servers of React and Vite, so that a front end works out of the box. */
export const DEFAULT_ORIGINS = 'http://localhost:3000,http://localhost:5173'

/** A time limit; a timer takes no more than 24 days. */
const Seconds = (seconds: number, description: string) =>
  Type.Number({ default: seconds, exclusiveMinimum: 0, maximum: 1_000_000, description })

/** The environment: every setting with its type, its default and what it is for. Nothing else reads it. */
export const ConfigSchema = Type.Object({
  HOST: Type.String({ default: 'localhost', description: 'Address to listen on; 0.0.0.0 for every one' }),
  PORT: Type.Integer({ default: 5000, minimum: 0, maximum: 65535, description: 'Port to listen on' }),
  PUBLIC_URL: Type.Optional(Type.String({
    pattern: '^https?://[^/?#]+/?$',
    format: 'url',
    'x-rule': ' must be an address without a path, such as https://chat.example.com',
    description: 'Where browsers reach the server, such as https://chat.example.com; with https the cookie is Secure. Unset: localhost and 127.0.0.1 on PORT'
  })),
  DATABASE_URL: Type.Optional(Type.String({
    pattern: '^postgres(ql)?://',
    'x-rule': ' must begin with postgres://, such as postgres://user:password@host:5432/name',
    'x-secret': true,
    description: 'A Postgres of your own, as postgres://user:password@host:5432/name. Unset: an embedded one in DATA_DIR'
  })),
  DATABASE_POOL: Type.Integer({ default: 10, minimum: 1, maximum: 1000, description: 'Connections to the database at most' }),
  DATA_DIR: Type.String({ default: './data', minLength: 1, description: 'Folder of the embedded database and of the generated JWT secret' }),
  JWT_SECRET: Type.Optional(Type.String({
    minLength: 32,
    'x-secret': true,
    description: 'Signs the session tokens; at least 32 characters. Unset: one is made and kept in DATA_DIR; several instances must share one'
  })),
  JWT_SECRET_PREVIOUS: Type.Optional(Type.String({ minLength: 32, 'x-secret': true, description: 'The secret before this one, whose tokens are still good: so a new one logs nobody out' })),
  CORS_ORIGINS: Type.String({
    default: DEFAULT_ORIGINS,
    format: 'urls',
    pattern: '^https?://[^/,\\s]+(,\\s*https?://[^/,\\s]+)*$',
    'x-rule': ': each origin needs http:// or https:// in front and no slash at the end, such as https://app.example.com',
    description: 'Front ends that may call the API with cookies: origins, separated by commas, without a slash at the end'
  }),
  COOKIE_SAMESITE: Type.Enum(['lax', 'none'], { default: 'lax', description: 'SameSite of the session cookie; none for a front end on another site, which needs an https PUBLIC_URL' }),
  TRUST_PROXY: Type.Optional(Type.String({
    format: 'proxies',
    'x-rule': ' must be addresses or networks such as 10.0.0.0/8, separated by commas, or loopback, linklocal or uniquelocal',
    description: 'Proxies whose X-Forwarded headers count: addresses or networks, separated by commas, or loopback, linklocal, uniquelocal'
  })),
  CORS_HEADERS: Type.Optional(Type.String({
    pattern: '^[\\w!#$%&\'*+.^`|~-]+(,\\s*[\\w!#$%&\'*+.^`|~-]+)*$',
    'x-rule': ' must be names of headers, separated by commas',
    description: 'Request headers that front ends of other origins may send beside the usual ones, separated by commas'
  })),
  SIGNUP: Type.Enum(['open', 'closed', 'invite'], {
    default: 'open',
    description: 'Who may make an account: open for everybody, invite for those with a one-time link from an admin, closed for nobody: then admins make accounts'
  }),
  RETENTION_GUESTS: Type.Integer({ default: 0, minimum: 0, maximum: 36_500, description: 'Days after which guests, phones and WhatsApp contacts that nobody used are deleted, with what they said; 0 keeps them' }),
  TRUSTED_ISSUERS: Type.String({
    default: '[]',
    format: 'issuers',
    'x-rule': ' must be a list in JSON of {issuer, audience} with jwks, with a secret of at least 32 characters, or with the https address of an OpenID issuer; docs/users.md shows examples',
    'x-secret': true,
    description: 'Other issuers of tokens whose users are users here: a list in JSON of {issuer, audience, jwks or secret, claims, admin_claim}'
  }),
  ADMIN_CLAIM: Type.Optional(Type.String({
    pattern: '^.+=.+$',
    'x-rule': ' must be a claim and its value, such as role=admin',
    description: 'The claim of tokens of TRUSTED_ISSUERS, and its value, that makes an admin, as role=admin. Unset: none does'
  })),
  API_KEYS: Type.Optional(Type.String({
    pattern: '^[!-+\\--~]{16,}(,\\s*[!-+\\--~]{16,})*$',
    'x-rule': ': each key needs at least 16 characters',
    'x-secret': true,
    description: 'Keys, of at least 16 characters, separated by commas, with which front ends let guests in at /chat/initial. Unset: no guests'
  })),
  GUEST_BOT: Type.Optional(Type.String({ minLength: 1, description: 'The bot that answers guests. Unset: assistant with an OPENAI_API_KEY, simulated without' })),
  PHONE_BOT: Type.String({ default: 'favorite-song', minLength: 1, description: 'The bot that answers phones at /chat' }),
  OPENAI_API_KEY: Type.Optional(Type.String({
    pattern: '^[!-~]+$',
    'x-rule': ' must consist of ASCII letters, digits and punctuation, without spaces',
    'x-secret': true,
    description: 'The key to the language models, anything for a server that wants none. Unset: bots of the engine openai do not answer'
  })),
  OPENAI_BASE_URL: Type.String({
    default: 'https://api.openai.com/v1',
    pattern: '^https?://[^#]+$',
    format: 'url',
    'x-rule': ' must be an address such as https://api.openai.com/v1',
    description: 'Where the language models are: anything that speaks like OpenAI, as http://localhost:11434/v1 for Ollama'
  }),
  OPENAI_MODEL: Type.String({ default: 'gpt-4.1-mini', minLength: 1, description: 'The model of bots that name none' }),
  WEBHOOK_ALLOW: Type.Optional(Type.String({
    format: 'hosts',
    'x-rule': ' must be names, addresses or networks, separated by commas, such as bot.internal,10.1.0.0/16',
    description: 'What webhooks may reach inside your own network: names, addresses or networks, separated by commas. Unset: nothing'
  })),
  BOT_TIMEOUT_CONNECT: Seconds(5, 'Seconds to connect to a language model or a webhook'),
  BOT_TIMEOUT_FIRST: Seconds(60, 'Seconds until the first token of a reply'),
  BOT_TIMEOUT_SILENCE: Seconds(60, 'Seconds of silence between its tokens'),
  BOT_TIMEOUT: Seconds(900, 'Seconds that a whole reply may take'),
  BOT_BREAKER_FAILURES: Type.Integer({ default: 5, minimum: 1, description: 'Replies that fail one after the other before their provider is left alone' }),
  BOT_BREAKER_PAUSE: Seconds(30, 'Seconds that it is left alone, while replies fail at once'),
  SMTP_URL: Type.Optional(Type.String({
    pattern: '^smtps?://',
    format: 'url',
    'x-rule': ' must begin with smtp:// or smtps://, such as smtps://user:password@mail.example.com',
    'x-secret': true,
    description: 'The server that sends mail, as smtps://user:password@mail.example.com. Unset: mail is written to DATA_DIR/mail'
  })),
  MAIL_FROM: Type.String({ default: 'Parley <no-reply@localhost>', pattern: '^[^\\r\\n]*@[^\\r\\n]+$', 'x-rule': ' must be a mail address, such as Parley <no-reply@example.com>', description: 'The sender of mail' }),
  META_VERIFY_TOKEN: Type.Optional(Type.String({ description: 'WhatsApp: what Meta\'s dashboard and we agree on, to verify the webhook\'s address' })),
  META_APP_SECRET: Type.Optional(Type.String({ description: 'WhatsApp: the app\'s secret, with which Meta signs webhooks. Unset: there is no webhook' })),
  META_ACCESS_TOKEN: Type.Optional(Type.String({ pattern: '^[!-~]+$', 'x-rule': ' must consist of ASCII letters, digits and punctuation, without spaces', 'x-secret': true, description: 'WhatsApp: the token that pays for sending' })),
  META_PHONE_NUMBER_ID: Type.Optional(Type.String({ pattern: '^\\w+$', 'x-rule': ' must be the id of a phone number: letters and digits only', description: 'WhatsApp: the id, not the number, of the phone number that sends' })),
  META_API_URL: Type.String({ default: 'https://graph.facebook.com/v25.0', pattern: '^https?://', format: 'url', 'x-rule': ' must be an address such as https://graph.facebook.com/v25.0', description: 'WhatsApp: where Meta\'s API is, with its version' }),
  WHATSAPP_BOT: Type.Optional(Type.String({ minLength: 1, description: 'The bot that answers on WhatsApp. Unset: the one that answers guests' })),
  RATE_LIMITS: Type.Enum(['on', 'off'], { default: 'on', description: 'off lifts all the limits below, down to SOCKET_LOGIN_TIMEOUT, as for load tests' }),
  RATE_LIMIT: Type.Integer({ default: 600, minimum: 1, description: 'Requests a minute from one address' }),
  RATE_LIMIT_ENTRY: Type.Integer({ default: 5, minimum: 1, description: 'Requests a minute from one address to each of signup, login, register, forgot, reset and verify' }),
  RATE_LIMIT_LOGIN: Type.Integer({ default: 5, minimum: 1, description: 'Attempts a minute to log in to one account from one address' }),
  RATE_LIMIT_CHAT: Type.Integer({ default: 300, minimum: 1, description: 'Messages a minute to /chat from one address' }),
  RATE_LIMIT_PHONE: Type.Integer({ default: 60, minimum: 1, description: 'Messages a minute to /chat from one phone' }),
  RATE_LIMIT_HANDSHAKE: Type.Integer({ default: 300, minimum: 1, description: 'Sockets a minute that one address may begin, by polling or WebSocket' }),
  RATE_LIMIT_SIGNATURE: Type.Integer({ default: 20, minimum: 1, description: 'WhatsApp webhooks with a false signature a minute from one address, before it is refused unread' }),
  REQUESTS_PER_USER: Type.Integer({ default: 2, minimum: 1, description: 'Requests of one user that are worked on at once; eight times as many wait for their turn' }),
  STREAMS_PER_USER: Type.Integer({ default: 30, minimum: 1, description: 'Event streams that one user may have open' }),
  STREAMS_PER_ADDRESS: Type.Integer({ default: 300, minimum: 1, description: 'Event streams that one address may have open' }),
  SOCKETS_PER_USER: Type.Integer({ default: 30, minimum: 1, description: 'Sockets that one user may have open' }),
  SOCKETS_PER_ADDRESS: Type.Integer({ default: 300, minimum: 1, description: 'Sockets that one address may have open' }),
  SOCKET_LOGIN_TIMEOUT: Seconds(10, 'Seconds in which a socket must show its token'),
  REQUEST_TIMEOUT: Seconds(60, 'Seconds in which a request must arrive, its headers and its body'),
  METRICS_TOKEN: Type.Optional(Type.String({
    pattern: '^[!-~]{16,}$',
    'x-rule': ' needs at least 16 characters, without spaces',
    'x-secret': true,
    description: 'The Bearer token, of at least 16 characters, with which other machines read /metrics. Unset: only this machine does'
  })),
  BUDGET_TOKENS_PER_USER_DAY: Type.Integer({ default: 0, minimum: 0, description: 'Tokens of language models that replies to one user may cost in a day (UTC); 0 for no limit' }),
  BUDGET_TOKENS_PER_KEY_DAY: Type.Integer({ default: 0, minimum: 0, description: 'The same for all guests of one of API_KEYS together; 0 for no limit' }),
  MAX_GENERATIONS: Type.Integer({ default: 500, minimum: 1, description: 'Replies of bots that take their time, at once, on one instance; more wait' }),
  MAX_EVENT_LOOP_DELAY: Type.Number({ default: 1, minimum: 0, maximum: 1000, description: 'Seconds that the event loop may be late, on average over a second, before requests are refused; 0 for no limit' }),
  MAX_HEAP: Type.Integer({ default: 0, minimum: 0, description: 'MiB of heap before requests are refused; 0 for no limit' }),
  MAX_MEMORY: Type.Integer({ default: 0, minimum: 0, description: 'MiB of memory of the process before requests are refused; 0 for no limit' }),
  BCRYPT_COST: Type.Integer({ default: 12, minimum: 10, maximum: 16, description: 'Work per password hash, as a power of two' }),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info', description: 'What is logged: trace, debug, info, warn, error, fatal or silent' })
})
export type Config = Static<typeof ConfigSchema>

/**
 * Reads the settings from the environment, and from `.env` what is not there; an empty variable counts as unset.
 * @throws CANNOT_START with a line for each setting that is wrong
 */
export function readConfig (environment: NodeJS.ProcessEnv = process.env): Config {
  const { config, faults, notes } = examineConfig(environment)
  if (faults.length === 0) return config
  const lines = [...faults.map(({ sentence }) => sentence), ...notes].map(sentence => `\n  ${sentence}`)
  throw new CANNOT_START(`Please correct these settings (docs/settings.md explains each):${lines.join('')}`)
}

/** The settings, a sentence for each that is wrong, which then counts as unset, and one for each name that looks mistyped. */
export function examineConfig (environment: NodeJS.ProcessEnv = process.env) {
  const given = variables(environment)
  const notes = mistypedSettings(Object.keys(given), Object.keys(ConfigSchema.properties))
    .map(({ name, meant }) => `${name} is not a setting. Did you mean ${meant}?`)
  try {
    return { config: check(given), faults: [], notes }
  } catch (error) {
    const { errors } = error as { errors: Array<{ instancePath: string }> }
    const wrong = [...new Set(errors.map(({ instancePath }) => instancePath.slice(1) as keyof Config))]
    const right = Object.fromEntries(Object.entries(given).filter(([name]) => !wrong.includes(name as keyof Config)))
    const faults = wrong.map(setting => ({ setting, sentence: describeSettingFault(setting, given[setting]!, ConfigSchema.properties[setting]) }))
    return { config: check(right), faults, notes }
  }
}

function check (data: NodeJS.Dict<string>) {
  return envSchema<Config>({
    schema: ConfigSchema,
    data,
    env: false,
    ajv: { customOptions: ajv => ajv.addVocabulary(['x-rule', 'x-secret']).addFormat('url', text => URL.canParse(text)).addFormat('urls', areUrls).addFormat('proxies', areProxies).addFormat('hosts', areHosts).addFormat('issuers', text => readTrustedIssuers(text) !== undefined) }
  })
}

/**
 * Whether traces are asked for, by OpenTelemetry's own variables. Its SDK reads the environment by itself, where those of
 * `.env` are put for it.
 */
export function wantsTraces (environment: NodeJS.ProcessEnv = process.env): boolean {
  for (const [name, value] of Object.entries(readFile())) if (name.startsWith('OTEL_')) environment[name] ??= value
  const { OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment
  if (OTEL_SDK_DISABLED?.toLowerCase() === 'true' || OTEL_TRACES_EXPORTER === 'none') return false
  return Boolean(OTEL_TRACES_EXPORTER ?? OTEL_EXPORTER_OTLP_ENDPOINT ?? OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
}

/** What WhatsApp lacks, where some of it is set. */
export function missingForWhatsApp (config: Config): string[] {
  const needed = ['META_VERIFY_TOKEN', 'META_APP_SECRET', 'META_ACCESS_TOKEN', 'META_PHONE_NUMBER_ID'] as const
  const missing = needed.filter(name => config[name] === undefined)
  return missing.length < needed.length ? missing : []
}

function variables (environment: NodeJS.ProcessEnv) {
  return { ...withoutEmpty(readFile()), ...withoutEmpty(environment) }
}

function readFile (): NodeJS.Dict<string> {
  return existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {}
}

function withoutEmpty (variables: NodeJS.Dict<string>) {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
}

function areUrls (text: string) {
  return text.split(',').every(part => URL.canParse(part.trim()))
}

/** Names, addresses and networks as Fastify takes them, so that it never meets one that it does not. */
function areProxies (text: string) {
  return text.split(',').every(part => ['loopback', 'linklocal', 'uniquelocal'].includes(part.trim()) || isNetwork(part.trim()))
}

/** A name is one that no other spelling stands for: 0x7f.1 is none, since it stands for an address. */
function areHosts (text: string) {
  return text.split(',').map(part => part.trim().toLowerCase()).every(part =>
    isNetwork(part) || (URL.canParse(`http://${part}`) && new URL(`http://${part}`).hostname === part))
}

/** An address, or a network as 10.0.0.0/8. */
function isNetwork (text: string) {
  const [, address = '', bits = '1'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const most = { 0: 0, 4: 32, 6: 128 }[isIP(address)]!
  return Number(bits) >= 1 && Number(bits) <= most
}
