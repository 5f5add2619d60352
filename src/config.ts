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

/** A time limit in seconds. The maximum is below 24 days, the longest delay of a timer in Node.js. */
const Seconds = (seconds: number, description: string) =>
  Type.Number({ default: seconds, exclusiveMinimum: 0, maximum: 1_000_000, description })

/** Every setting with its type, default and description. No other module reads settings from the environment. */
export const ConfigSchema = Type.Object({
  HOST: Type.String({ default: 'localhost', description: 'Address to listen on; 0.0.0.0 listens on all addresses' }),
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
  DATABASE_POOL: Type.Integer({ default: 10, minimum: 1, maximum: 1000, description: 'Maximum number of connections of each process to the database' }),
  WORKERS: Type.String({
    default: '1',
    pattern: '^([1-9]|[1-5][0-9]|6[0-4]|auto)$',
    'x-rule': ' must be a number from 1 to 64, or auto',
    description: 'Processes that share the port, to use several processor cores; auto starts one for each core. Each counts as an instance'
  }),
  DATA_DIR: Type.String({ default: './data', minLength: 1, description: 'Folder of the embedded database and of the generated JWT secret' }),
  JWT_SECRET: Type.Optional(Type.String({
    minLength: 32,
    'x-secret': true,
    description: 'Signs the session tokens; at least 32 characters. Unset: one is generated and stored in DATA_DIR. All instances must use the same secret'
  })),
  JWT_SECRET_PREVIOUS: Type.Optional(Type.String({ minLength: 32, 'x-secret': true, description: 'The previous JWT_SECRET. Tokens that it signed stay valid, so changing the secret logs nobody out' })),
  CORS_ORIGINS: Type.String({
    default: DEFAULT_ORIGINS,
    format: 'urls',
    pattern: '^https?://[^/,\\s]+(,\\s*https?://[^/,\\s]+)*$',
    'x-rule': ': each origin needs http:// or https:// in front and no slash at the end, such as https://app.example.com',
    description: 'Origins of front ends that may call the API from a browser, with cookies or with tokens, separated by commas, without a slash at the end'
  }),
  COOKIE_SAMESITE: Type.Enum(['lax', 'none'], { default: 'lax', description: 'SameSite attribute of the session cookie; none for a front end on another site, which also requires an https PUBLIC_URL' }),
  TRUST_PROXY: Type.Optional(Type.String({
    format: 'proxies',
    'x-rule': ' must be addresses or networks such as 10.0.0.0/8, separated by commas, or loopback, linklocal or uniquelocal',
    description: 'Proxies whose X-Forwarded headers are trusted: addresses or networks, separated by commas, or loopback, linklocal, uniquelocal'
  })),
  CORS_HEADERS: Type.Optional(Type.String({
    pattern: '^[\\w!#$%&\'*+.^`|~-]+(,\\s*[\\w!#$%&\'*+.^`|~-]+)*$',
    'x-rule': ' must be names of headers, separated by commas',
    description: 'Additional request headers that front ends of other origins may send (CORS), separated by commas'
  })),
  SIGNUP: Type.Enum(['open', 'closed', 'invite'], {
    default: 'open',
    description: 'Who can sign up: open for everybody, invite for people with a one-time link from an admin, closed for nobody (only admins create accounts)'
  }),
  PASSWORDS: Type.Enum(['on', 'off'], { default: 'on', description: 'off refuses everything that takes a password: sign-up, login, changing and resetting a password. Users then sign in with OIDC_ISSUER or TRUSTED_ISSUERS' }),
  RETENTION_GUESTS: Type.Integer({ default: 0, minimum: 0, maximum: 36_500, description: 'Days without activity after which guests, phone users and WhatsApp contacts are deleted, with their messages; 0 keeps them' }),
  TRUSTED_ISSUERS: Type.String({
    default: '[]',
    format: 'issuers',
    'x-rule': ' must be a list in JSON of {issuer, audience} with jwks, with a secret of at least 32 characters, or with the https address of an OpenID issuer; docs/users.md shows examples',
    'x-secret': true,
    description: 'Other issuers whose tokens are accepted, such as your login provider: a JSON list of {issuer, audience, jwks or secret, claims, admin_claim}'
  }),
  ADMIN_CLAIM: Type.Optional(Type.String({
    pattern: '^.+=.+$',
    'x-rule': ' must be a claim and its value, such as role=admin',
    description: 'The claim and value that make a user of TRUSTED_ISSUERS or OIDC_ISSUER an admin, such as role=admin. Unset: no claim does'
  })),
  OIDC_ISSUER: Type.Optional(Type.String({
    pattern: '^(https://[^/?#]+|http://(localhost|127\\.\\d+\\.\\d+\\.\\d+|\\[::1\\])(:\\d+)?)(/[^?#]*)?$',
    format: 'url',
    'x-rule': ' must be the https address of an issuer, such as https://login.example.com; http is allowed on localhost only',
    description: 'The OpenID Connect issuer with which the page signs users in, such as https://login.example.com. Unset: none'
  })),
  OIDC_CLIENT_ID: Type.Optional(Type.String({ pattern: '^[ -~]+$', 'x-rule': ' must consist of ASCII characters', description: 'The client ID that the issuer gave this server' })),
  OIDC_CLIENT_SECRET: Type.Optional(Type.String({ pattern: '^[ -~]+$', 'x-rule': ' must consist of ASCII characters', 'x-secret': true, description: 'The client secret. Unset: a public client, which has none' })),
  OIDC_NAME: Type.String({ default: 'single sign-on', pattern: '^.{1,40}$', 'x-rule': ' must have 1 to 40 characters', description: 'How the page names the issuer, on the button "Continue with …"' }),
  API_KEYS: Type.Optional(Type.String({
    pattern: '^[!-+\\--~]{16,}(,\\s*[!-+\\--~]{16,})*$',
    'x-rule': ': each key needs at least 16 characters',
    'x-secret': true,
    description: 'API keys with which front ends create guests at /chat/initial; at least 16 characters each, separated by commas. Unset: no guests'
  })),
  GUEST_BOT: Type.Optional(Type.String({ minLength: 1, description: 'The bot that answers guests. Unset: assistant with an OPENAI_API_KEY, simulated without' })),
  PHONE_BOT: Type.String({ default: 'favorite-song', minLength: 1, description: 'The bot that answers at /chat, where users give a phone number' }),
  OPENAI_API_KEY: Type.Optional(Type.String({
    pattern: '^[!-~]+$',
    'x-rule': ' must consist of ASCII letters, digits and punctuation, without spaces',
    'x-secret': true,
    description: 'API key for the language models; any value for a server that needs no key. Unset: bots with the engine openai do not answer'
  })),
  OPENAI_BASE_URL: Type.String({
    default: 'https://api.openai.com/v1',
    pattern: '^https?://[^#]+$',
    format: 'url',
    'x-rule': ' must be an address such as https://api.openai.com/v1',
    description: 'Base URL of the language models: OpenAI or any compatible API, such as http://localhost:11434/v1 for Ollama'
  }),
  OPENAI_MODEL: Type.String({ default: 'gpt-4.1-mini', minLength: 1, description: 'The model of bots that do not name one' }),
  WEBHOOK_ALLOW: Type.Optional(Type.String({
    format: 'hosts',
    'x-rule': ' must be names, addresses or networks, separated by commas, such as bot.internal,10.1.0.0/16',
    description: 'Hosts in your own network that webhook and AG-UI bots may call: names, addresses or networks, separated by commas. Unset: none'
  })),
  BOT_TIMEOUT_CONNECT: Seconds(5, 'Seconds to wait for a connection to a language model, a webhook or an agent'),
  BOT_TIMEOUT_FIRST: Seconds(60, 'Seconds to wait for the first token of a reply'),
  BOT_TIMEOUT_SILENCE: Seconds(60, 'Seconds to wait for each further token of a reply'),
  BOT_TIMEOUT: Seconds(900, 'Seconds that a whole reply may take'),
  BOT_BREAKER_FAILURES: Type.Integer({ default: 5, minimum: 1, description: 'Number of replies that must fail in a row before requests to their provider are paused (circuit breaker): those of a user after as many of this user\'s replies, all after replies to as many users' }),
  BOT_BREAKER_PAUSE: Seconds(30, 'Seconds that the circuit breaker pauses requests to a provider; replies fail immediately in that time'),
  SMTP_URL: Type.Optional(Type.String({
    pattern: '^smtps?://',
    format: 'url',
    'x-rule': ' must begin with smtp:// or smtps://, such as smtps://user:password@mail.example.com',
    'x-secret': true,
    description: 'The SMTP server that sends mail, such as smtps://user:password@mail.example.com. Unset: mail is written to files in DATA_DIR/mail'
  })),
  MAIL_FROM: Type.String({ default: 'Parley <no-reply@localhost>', pattern: '^[^\\r\\n]*@[^\\r\\n]+$', 'x-rule': ' must be a mail address, such as Parley <no-reply@example.com>', description: 'The From address of mail' }),
  META_VERIFY_TOKEN: Type.Optional(Type.String({ pattern: '^\\S(.*\\S)?$', 'x-rule': ' must have no white space at its beginning or end', 'x-secret': true, description: 'WhatsApp: the verify token. Make one up and enter the same in Meta\'s dashboard, which uses it to verify the webhook\'s address' })),
  META_APP_SECRET: Type.Optional(Type.String({ pattern: '^\\S(.*\\S)?$', 'x-rule': ' must have no white space at its beginning or end', 'x-secret': true, description: 'WhatsApp: the app secret, with which Meta signs webhooks. Unset: WhatsApp webhooks are not accepted' })),
  META_ACCESS_TOKEN: Type.Optional(Type.String({ pattern: '^[!-~]+$', 'x-rule': ' must consist of ASCII letters, digits and punctuation, without spaces', 'x-secret': true, description: 'WhatsApp: the access token with which messages are sent' })),
  META_PHONE_NUMBER_ID: Type.Optional(Type.String({ pattern: '^\\w+$', 'x-rule': ' must be the id of a phone number: letters and digits only', description: 'WhatsApp: the phone number ID of the number that sends; not the phone number itself' })),
  META_API_URL: Type.String({ default: 'https://graph.facebook.com/v25.0', pattern: '^https?://', format: 'url', 'x-rule': ' must be an address such as https://graph.facebook.com/v25.0', description: 'WhatsApp: base URL of Meta\'s Graph API, with its version' }),
  WHATSAPP_BOT: Type.Optional(Type.String({ minLength: 1, description: 'The bot that answers on WhatsApp. Unset: the one that answers guests' })),
  RATE_LIMITS: Type.Enum(['on', 'off'], { default: 'on', description: 'off disables the limits below, from RATE_LIMIT to SOCKETS_PER_ADDRESS, for example for load tests' }),
  RATE_LIMIT: Type.Integer({ default: 600, minimum: 1, description: 'Requests per minute from one IP address' }),
  RATE_LIMIT_ENTRY: Type.Integer({ default: 5, minimum: 1, description: 'Requests per minute from one IP address to each of signup, login, register, forgot, reset and verify' }),
  RATE_LIMIT_LOGIN: Type.Integer({ default: 5, minimum: 1, description: 'Login attempts per minute for one account from one IP address' }),
  RATE_LIMIT_CHAT: Type.Integer({ default: 300, minimum: 1, description: 'Messages per minute to /chat from one IP address' }),
  RATE_LIMIT_PHONE: Type.Integer({ default: 60, minimum: 1, description: 'Messages per minute to /chat from one phone number' }),
  RATE_LIMIT_HANDSHAKE: Type.Integer({ default: 300, minimum: 1, description: 'Socket connections per minute that one IP address may open, by polling or WebSocket' }),
  RATE_LIMIT_SIGNATURE: Type.Integer({ default: 20, minimum: 1, description: 'WhatsApp webhooks with a wrong signature per minute from one IP address; further webhooks from it are refused unread' }),
  REQUESTS_PER_USER: Type.Integer({ default: 2, minimum: 1, description: 'Requests of one user that are processed at the same time; up to eight times as many wait in a queue' }),
  STREAMS_PER_USER: Type.Integer({ default: 30, minimum: 1, description: 'Event streams (SSE) that one user may have open' }),
  STREAMS_PER_ADDRESS: Type.Integer({ default: 300, minimum: 1, description: 'Event streams (SSE) that one IP address may have open' }),
  SOCKETS_PER_USER: Type.Integer({ default: 30, minimum: 1, description: 'Socket connections that one user may have open' }),
  SOCKETS_PER_ADDRESS: Type.Integer({ default: 300, minimum: 1, description: 'Socket connections that one IP address may have open' }),
  SOCKET_LOGIN_TIMEOUT: Seconds(10, 'Seconds within which a socket must send its token'),
  REQUEST_TIMEOUT: Seconds(60, 'Seconds within which a whole request, headers and body, must arrive, and a client must take more of its response'),
  METRICS_TOKEN: Type.Optional(Type.String({
    pattern: '^[!-~]{16,}$',
    'x-rule': ' needs at least 16 characters, without spaces',
    'x-secret': true,
    description: 'Bearer token with which other machines can read /metrics; at least 16 characters. Unset: only this machine can read them'
  })),
  BUDGET_TOKENS_PER_USER_DAY: Type.Integer({ default: 0, minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Language model tokens that replies to one user may use in a day (UTC); 0 for no limit' }),
  BUDGET_TOKENS_PER_KEY_DAY: Type.Integer({ default: 0, minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Language model tokens that replies to all guests of one API key may use together in a day (UTC); 0 for no limit' }),
  MAX_GENERATIONS: Type.Integer({ default: 500, minimum: 1, description: 'Replies of language models and other slow bots that one instance generates at the same time; more replies wait' }),
  MAX_EVENT_LOOP_DELAY: Type.Number({ default: 1, minimum: 0, maximum: 1000, description: 'Event loop delay in seconds, on average over a second, above which requests are refused; 0 for no limit' }),
  MAX_HEAP: Type.Integer({ default: 0, minimum: 0, description: 'Heap size in MiB above which requests are refused; 0 for no limit' }),
  MAX_MEMORY: Type.Integer({ default: 0, minimum: 0, description: 'Memory of the process (RSS) in MiB above which requests are refused; 0 for no limit' }),
  BCRYPT_COST: Type.Integer({ default: 12, minimum: 10, maximum: 16, description: 'bcrypt cost of password hashes; each step doubles the work' }),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info', description: 'Lowest level that is logged: trace, debug, info, warn, error, fatal or silent' })
})
export type Config = Static<typeof ConfigSchema>

/** The settings that are numbers. */
const NUMBERS = Object.entries<object>(ConfigSchema.properties)
  .flatMap(([name, rule]) => 'type' in rule && (rule.type === 'integer' || rule.type === 'number') ? name : [])

/**
 * Reads the settings from the environment and from `.env`; the environment takes precedence. An empty or blank variable counts as unset.
 * @throws CANNOT_START with a line for each setting that is wrong
 */
export function readConfig (environment: NodeJS.ProcessEnv = process.env): Config {
  const { config, faults, notes } = examineConfig(environment)
  if (faults.length === 0) return config
  const lines = [...faults.map(({ sentence }) => sentence), ...notes].map(sentence => `\n  ${sentence}`)
  throw new CANNOT_START(`Please correct these settings (docs/settings.md explains each):${lines.join('')}`)
}

/**
 * Checks the settings without throwing. `faults` has a sentence for each wrong setting, which then counts as unset in
 * `config`; `notes` has a sentence for each name that looks mistyped.
 */
export function examineConfig (environment: NodeJS.ProcessEnv = process.env) {
  const given = variables(environment)
  const notes = notesOn(environment)
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

/** A sentence for each name that looks like a mistyped setting. */
export function notesOn (environment: NodeJS.ProcessEnv = process.env): string[] {
  return mistypedSettings(Object.keys(variables(environment)), Object.keys(ConfigSchema.properties))
    .map(({ name, meant }) => `${name} is not a setting. Did you mean ${meant}?`)
}

function check (data: NodeJS.Dict<string>) {
  return envSchema<Config>({
    schema: ConfigSchema,
    data: withoutInfinity(data),
    env: false,
    ajv: { customOptions: ajv => ajv.addVocabulary(['x-rule', 'x-secret']).addFormat('url', text => URL.canParse(text)).addFormat('urls', areUrls).addFormat('proxies', areProxies).addFormat('hosts', areHosts).addFormat('issuers', text => readTrustedIssuers(text) !== undefined) }
  })
}

/**
 * Whether OpenTelemetry's own variables (`OTEL_…`) enable traces. An empty one counts as unset, as in its
 * specification. Its SDK reads only the process environment, so the variables in `.env` are copied there first.
 */
export function wantsTraces (environment: NodeJS.ProcessEnv = process.env): boolean {
  for (const [name, value] of Object.entries(readFile())) if (name.startsWith('OTEL_')) environment[name] ||= value
  const { OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment
  if (OTEL_SDK_DISABLED?.toLowerCase() === 'true' || OTEL_TRACES_EXPORTER === 'none') return false
  return Boolean(OTEL_TRACES_EXPORTER || OTEL_EXPORTER_OTLP_ENDPOINT || OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
}

/** The names of the WhatsApp settings that are missing; empty if all of them are set, or none. */
export function missingForWhatsApp (config: Config): string[] {
  const needed = ['META_VERIFY_TOKEN', 'META_APP_SECRET', 'META_ACCESS_TOKEN', 'META_PHONE_NUMBER_ID'] as const
  const missing = needed.filter(name => config[name] === undefined)
  return missing.length < needed.length ? missing : []
}

/** Sentences about settings with which a sign-in does not work. */
export function signInWarnings ({ OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, PASSWORDS, TRUSTED_ISSUERS }: Config): string[] {
  const settings = { OIDC_ISSUER, OIDC_CLIENT_ID }
  const missing = (['OIDC_ISSUER', 'OIDC_CLIENT_ID'] as const).filter(name => settings[name] === undefined)
  const isPartial = missing.length < 2 ? missing.length === 1 : OIDC_CLIENT_SECRET !== undefined
  const isLockedOut = PASSWORDS === 'off' && missing.length > 0 && readTrustedIssuers(TRUSTED_ISSUERS)!.length === 0
  return [
    ...isPartial ? [`OpenID Connect is set up in part only, and does not work without ${missing.join(' and ')}.`] : [],
    ...isLockedOut ? ['Nobody can sign in: PASSWORDS is off, and neither OIDC_ISSUER with OIDC_CLIENT_ID nor TRUSTED_ISSUERS is set.'] : []
  ]
}

function variables (environment: NodeJS.ProcessEnv) {
  return { ...withoutEmpty(readFile()), ...withoutEmpty(environment) }
}

function readFile (): NodeJS.Dict<string> {
  // Some editors write a byte order mark, which would become a part of the first name.
  return existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8').replace(/^\uFEFF/, '')) : {}
}

function withoutEmpty (variables: NodeJS.Dict<string>) {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value?.trim() !== ''))
}

/** Makes `Infinity` and numbers such as 1e400 invalid. Ajv would take them for numbers, and check no limit of theirs. */
function withoutInfinity (variables: NodeJS.Dict<string>) {
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, Math.abs(Number(value)) === Infinity && NUMBERS.includes(name) ? 'NaN' : value]))
}

function areUrls (text: string) {
  return text.split(',').every(part => URL.canParse(part.trim()))
}

/** Accepts only what Fastify's `trustProxy` accepts, since Fastify throws for anything else. */
function areProxies (text: string) {
  return text.split(',').every(part => ['loopback', 'linklocal', 'uniquelocal'].includes(part.trim()) || isNetwork(part.trim()))
}

/** Accepts networks, addresses and normalised names. 0x7f.1 is refused: a URL parser turns it into the address 127.0.0.1. */
function areHosts (text: string) {
  return text.split(',').map(part => part.trim().toLowerCase()).every(part =>
    isNetwork(part) || (URL.canParse(`http://${part}`) && new URL(`http://${part}`).hostname === part))
}

/** Whether the text is an address, or a network such as 10.0.0.0/8. */
function isNetwork (text: string) {
  const [, address = '', bits = '1'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const most = { 0: 0, 4: 32, 6: 128 }[isIP(address)]!
  return Number(bits) >= 1 && Number(bits) <= most
}
