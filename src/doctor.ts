import { existsSync } from 'node:fs'
import { access, constants, stat, statfs } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { Agent, request } from 'undici'
import { cookieWarnings } from './accounts/cookie.ts'
import { createIssuerKeys } from './accounts/issuers/issuers.ts'
import { reachMailServer } from './accounts/mail.ts'
import { createOpenIdProvider } from './accounts/oidc/provider.ts'
import { originOf } from './accounts/recovery.ts'
import { endAfter, examineModel } from './bots/examine.ts'
import { isRequestRefused } from './bots/provider.ts'
import { isFailure } from './bots/refusal.ts'
import { createFencedConnector } from './bots/ssrf-guard.ts'
import { DEFAULT_ORIGINS, examineConfig, missingForWhatsApp, signInWarnings, type Config } from './config.ts'
import { reasonOf, visitDatabase } from './db/client.ts'
import { examineDatabase, type ExaminedBot } from './db/examine.ts'
import { readTrustedIssuers } from './text/trusted-issuers.ts'

// node dist/doctor.js: looks at everything that the server needs, prints a line for each, and changes nothing.

type Setting = keyof Config
type Check = (config: Config) => Promise<string[]> | string[]

/** How long any one answer may take, in milliseconds. */
const ANSWER_TIMEOUT_MS = 5_000

/** With less free space than this, the disk gets a note. */
const FEW_FREE_BYTES = 1024 ** 3

/** How far our clock may be from the database's, in seconds. */
const MAX_CLOCK_SKEW_SECONDS = 5

const silent = { info: String, warn: String, error: String }
const right = (text: string) => `✓ ${text}`
const note = (text: string) => `! ${text}`
const wrong = (text: string) => `✗ ${text}`

/** The checks, each with the settings that it needs. A check is skipped if one of them is invalid, because that is reported already. */
const checks: Array<[needs: Setting[], check: Check]> = [
  [['COOKIE_SAMESITE', 'CORS_ORIGINS', 'PORT', 'PUBLIC_URL'], cookies],
  [['OIDC_ISSUER', 'OIDC_CLIENT_ID', 'PUBLIC_URL', 'TRUSTED_ISSUERS', 'PASSWORDS'], signIn],
  [['TRUSTED_ISSUERS'], trustedIssuers],
  [['HOST', 'PORT'], port],
  [['DATABASE_URL', 'DATA_DIR'], database],
  [['DATA_DIR'], disk],
  [['SMTP_URL', 'MAIL_FROM'], mail],
  [['OPENAI_API_KEY', 'OPENAI_BASE_URL', 'OPENAI_MODEL', 'BOT_TIMEOUT_CONNECT', 'BOT_TIMEOUT_FIRST'], model],
  [['META_VERIFY_TOKEN', 'META_APP_SECRET', 'META_ACCESS_TOKEN', 'META_PHONE_NUMBER_ID', 'META_API_URL', 'PUBLIC_URL'], whatsapp]
]

const { config, faults, notes } = examineConfig()
const invalid = new Set(faults.map(({ setting }) => setting))
const settings = [...faults.map(({ sentence }) => wrong(sentence)), ...notes.map(note)]
const found = await Promise.all(checks.filter(([needs]) => !needs.some(name => invalid.has(name))).map(([, check]) => check(config)))
const lines = [...settings.length === 0 ? [right('Settings: all of them are valid')] : settings, ...found.flat()]
process.stdout.write(lines.map(line => `${line}\n`).join(''))
process.exitCode = lines.some(line => line.startsWith('✗')) ? 1 : 0

function cookies (config: Config) {
  const warnings = cookieWarnings(config, DEFAULT_ORIGINS).map(({ level, sentence }) => level === 'warn' ? wrong(sentence) : note(sentence))
  return warnings.length > 0 ? warnings : [right(`Front ends: browsers keep the session cookie at ${config.CORS_ORIGINS}`)]
}

/** Whether somebody can sign in, and whether the provider's configuration can be fetched. */
async function signIn (config: Config) {
  const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId } = config
  const warnings = signInWarnings(config).map(note)
  if (issuer === undefined || clientId === undefined) return warnings
  const redirectUri = `${originOf(config)}/api/oidc/callback`
  let problem = ''
  const warn = ({ err }: { err: Error }) => { problem = reasonOf(err).message }
  const provider = createOpenIdProvider({ issuer, clientId, clientSecret: undefined, createConnector: createFencedConnector, log: { info: String, warn } as never })
  const answers = await provider.begin(redirectUri).then(() => true, () => false)
  await provider.close()
  return [answers
    ? right(`OpenID Connect: ${issuer} answers. It must know ${redirectUri} as a redirect URI.`)
    : wrong(`OpenID Connect: the configuration of ${issuer} cannot be fetched: ${problem}. Please check OIDC_ISSUER.`)]
}

/** Whether the keys of each issuer of tokens can be fetched. One that shares a secret with us has none to fetch. */
async function trustedIssuers ({ TRUSTED_ISSUERS }: Config) {
  const withKeys = readTrustedIssuers(TRUSTED_ISSUERS)!.filter(({ secret }) => secret === undefined)
  return await Promise.all(withKeys.map(async issuer => {
    let problem: string | undefined
    const { keys, close } = createIssuerKeys(issuer, createFencedConnector, error => { problem = reasonOf(error).message })
    await keys.refresh()
    await close()
    return problem === undefined
      ? right(`Tokens of ${issuer.issuer}: its keys can be fetched`)
      : wrong(`Tokens of ${issuer.issuer}: its keys cannot be fetched: ${problem}. Please check TRUSTED_ISSUERS.`)
  }))
}

/** Checks the database. Does not create an embedded one. */
async function database (config: Config) {
  const { DATABASE_URL, DATA_DIR } = config
  if (DATABASE_URL === undefined && !existsSync(path.join(DATA_DIR, 'postgres'))) return await dataFolder(DATA_DIR)
  try {
    return await visitDatabase({ DATABASE_URL, DATA_DIR }, silent, async ({ connection, title }) => {
      const { problem, bots, clockSkewS } = await examineDatabase(connection)
      if (problem !== undefined) return [wrong(`In ${title}: ${problem}`)]
      return [right(`Database: ${title}, all migrations are applied`), clock(clockSkewS), ...namedBots(config, bots.map(({ name }) => name)), ...await botServers(config, bots)]
    }, 0)
  } catch (error) {
    return [wrong((error as Error).message)]
  }
}

function clock (skewS: number) {
  const text = `Clock: it differs by ${skewS} s from the database's`
  return skewS <= MAX_CLOCK_SKEW_SECONDS ? right(text) : wrong(`${text}. Sessions and limits go by the clock: please have it set by NTP.`)
}

/** Messages to a bot that does not exist are refused as BOT_NOT_FOUND. */
function namedBots (config: Config, names: string[]) {
  return (['GUEST_BOT', 'PHONE_BOT', 'WHATSAPP_BOT'] as const).flatMap(setting => {
    const name = config[setting]
    if (name === undefined) return []
    return names.includes(name) ? [right(`${setting}: the bot ${name} exists`)] : [wrong(`${setting} names a bot that does not exist: ${name}. The bots are ${names.join(', ')}.`)]
  })
}

/** Whether the server of each webhook and AG-UI bot can be reached. Any status counts, because a bot may answer only signed messages of users. */
async function botServers ({ WEBHOOK_ALLOW = '' }: Config, bots: ExaminedBot[]) {
  const dispatcher = new Agent({ connect: createFencedConnector(WEBHOOK_ALLOW, ANSWER_TIMEOUT_MS), headersTimeout: ANSWER_TIMEOUT_MS })
  const lines = await Promise.all(bots.filter(({ url }) => url !== null).map(async ({ name, engine, url }) => {
    const bot = `${engine === 'webhook' ? 'Webhook' : 'AG-UI'} bot ${name}: ${new URL(url!).host}`
    try {
      const { statusCode, body } = await request(url!, { method: 'HEAD', dispatcher })
      await body.dump()
      return right(`${bot} answers, with status ${statusCode} to HEAD`)
    } catch (error) {
      return wrong(`${bot} cannot be reached: ${reasonOf(error).message}.${isFailure(error) ? ' To allow that, list it in WEBHOOK_ALLOW.' : ''}`)
    }
  }))
  await dispatcher.destroy()
  return lines
}

async function disk ({ DATA_DIR }: Config) {
  const { bavail, bsize } = await statfs(nearestFolder(DATA_DIR))
  const text = `Disk: ${(bavail * bsize / FEW_FREE_BYTES).toFixed(1)} GiB free for ${path.resolve(DATA_DIR)}`
  return [bavail * bsize >= FEW_FREE_BYTES ? right(text) : note(`${text}. The database and backups need more.`)]
}

function nearestFolder (folder: string) {
  let nearest = path.resolve(folder)
  while (!existsSync(nearest)) nearest = path.dirname(nearest)
  return nearest
}

/** Whether the data folder can be created: whether its nearest existing parent can be written to. */
async function dataFolder (folder: string) {
  const nearest = nearestFolder(folder)
  const isUsable = (await stat(nearest)).isDirectory() && await access(nearest, constants.W_OK).then(() => true, () => false)
  return isUsable ? [right(`Database: an embedded one will be made in ${path.resolve(folder)}`)] : [wrong(`DATA_DIR, ${path.resolve(folder)}, cannot be used: ${nearest} is not a folder that we may write to.`)]
}

async function mail ({ SMTP_URL, DATA_DIR }: Config) {
  if (SMTP_URL === undefined) return [note(`Mail: written to files in ${path.resolve(DATA_DIR, 'mail')}: nobody gets them. To send mail, set SMTP_URL.`)]
  return await reachMailServer(SMTP_URL).then(
    () => [right(`Mail: ${new URL(SMTP_URL).host} takes mail from us`)],
    error => [wrong(`Mail cannot be sent: ${(error as Error).message}. Please check SMTP_URL.`)])
}

/** Whether the port is free, or used by a running Parley. */
async function port ({ HOST, PORT }: Config) {
  const server = net.createServer()
  const error = await new Promise<NodeJS.ErrnoException | undefined>(resolve => {
    server.once('error', resolve)
    server.listen({ host: HOST, port: PORT }, () => server.close(() => resolve(undefined)))
  })
  if (error === undefined || (error.code === 'EADDRINUSE' && await isOurs(HOST, PORT))) return [right(`Port: ${PORT} ${error === undefined ? 'is free' : 'is in use by Parley'}`)]
  return [wrong(error.code === 'EADDRINUSE'
    ? `Port ${PORT} is in use by another program: stop it, or choose another port with PORT.`
    : `Cannot listen on ${HOST}, port ${PORT}: ${error.message}. Please check HOST and PORT.`)]
}

async function isOurs (host: string, port: number) {
  const answer = await ask(`http://${host.replace(/^[^:]*:.*$/, '[$&]')}:${port}/health/live`).catch(() => undefined)
  return answer?.text === '{"status":"ok"}'
}

async function model (config: Config) {
  if (config.OPENAI_API_KEY === undefined) return [note('Language model: none. To connect one, set OPENAI_API_KEY (docs/bots.md).')]
  const { host } = new URL(config.OPENAI_BASE_URL)
  return await examineModel(config).then(
    answer => [right(`Language model: ${config.OPENAI_MODEL} at ${host} ${answer}`)],
    error => [wrong(describeRefusal(error, host, config.OPENAI_MODEL))])
}

function describeRefusal (error: Error, host: string, name: string) {
  const { message } = reasonOf(error)
  const { status } = isRequestRefused(error) ? error.refusal : { status: 0 }
  if ([401, 403].includes(status)) return `The language models at ${host} refuse OPENAI_API_KEY, with status ${status}.`
  if (status !== 0) return `The language model ${name} at ${host} answered with status ${status}: ${message.replace(/^\d+ /, '').slice(0, 300)}. Please check OPENAI_MODEL and OPENAI_BASE_URL.`
  if (isFailure(error) && error.failure !== 'BOT_UNREACHABLE') return `The language model ${name} at ${host} did not answer as a model does: ${message.slice(0, 300)}. Please check OPENAI_MODEL and OPENAI_BASE_URL.`
  return `The language models at ${host} cannot be reached: ${message}. Please check OPENAI_BASE_URL.`
}

/** Checks the phone number and the token at Meta, and our own webhook at PUBLIC_URL. */
async function whatsapp (config: Config) {
  const missing = missingForWhatsApp(config)
  if (missing.length > 0) return [wrong(`WhatsApp is set up in part only: please set ${missing.join(' and ')}, or none of it.`)]
  if (config.META_APP_SECRET === undefined) return [note('WhatsApp: not set up (docs/whatsapp.md)')]
  return [await whatsappNumber(config), await whatsappWebhook(config)]
}

async function whatsappNumber ({ META_API_URL, META_PHONE_NUMBER_ID, META_ACCESS_TOKEN }: Config) {
  try {
    const { status, text } = await ask(`${META_API_URL}/${META_PHONE_NUMBER_ID}?fields=display_phone_number,verified_name`, { authorization: `Bearer ${META_ACCESS_TOKEN}` })
    if (status === 200) return right(`WhatsApp: Meta knows the token and the number: ${text.slice(0, 300)}`)
    return wrong(`WhatsApp: Meta answered with status ${status}: ${text.slice(0, 300)}. Please check META_ACCESS_TOKEN and META_PHONE_NUMBER_ID.`)
  } catch (error) {
    return wrong(`WhatsApp: ${new URL(META_API_URL).host} cannot be reached: ${reasonOf(error).message}.`)
  }
}

async function whatsappWebhook ({ PUBLIC_URL, META_VERIFY_TOKEN }: Config) {
  if (PUBLIC_URL === undefined) return note('WhatsApp: set PUBLIC_URL to have the address of the webhook checked')
  const address = `${PUBLIC_URL.replace(/\/$/, '')}/chat/whatsapp`
  const query = new URLSearchParams({ 'hub.mode': 'subscribe', 'hub.verify_token': META_VERIFY_TOKEN!, 'hub.challenge': '1158201444' })
  const answer = await ask(`${address}?${query.toString()}`).catch(error => ({ text: reasonOf(error).message }))
  if (answer.text === '1158201444') return right(`WhatsApp: the webhook answers at ${address}`)
  return wrong(`WhatsApp: the webhook at ${address} does not answer as Meta expects: ${answer.text.slice(0, 200)}. Is the server running, and reachable there?`)
}

async function ask (url: string, headers: Record<string, string> = {}) {
  const { signal, end } = endAfter(ANSWER_TIMEOUT_MS / 1000)
  try {
    const answer = await fetch(url, { headers, redirect: 'manual', signal })
    return { status: answer.status, text: await answer.text() }
  } finally {
    end()
  }
}
