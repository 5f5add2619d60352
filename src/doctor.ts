import { existsSync } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { cookieWarnings } from './accounts/cookie.js'
import { reachMailServer } from './accounts/mail.js'
import { DEFAULT_ORIGINS, examineConfig, missingForWhatsApp, type Config } from './config.js'
import { reachDatabase, reasonOf } from './db/client.js'
import { examineDatabase } from './db/examine.js'

// node dist/doctor.js: says what will not work, a line each, and changes nothing.

type Setting = keyof Config

/** How long whoever is asked may take, in milliseconds. */
const PATIENCE = 5_000

/** Before what is only worth knowing. */
const NOTE = 'Note: '

const silent = { info: String, warn: String, error: String }

/** What is wrong, by the settings that it needs to be right: what those say of themselves is enough. */
const checks: Array<[needs: Setting[], examine: (config: Config) => Promise<string[]> | string[]]> = [
  [['COOKIE_SAMESITE', 'CORS_ORIGINS', 'PORT', 'PUBLIC_URL'], config =>
    cookieWarnings(config, DEFAULT_ORIGINS).map(({ level, sentence }) => level === 'warn' ? sentence : `${NOTE}${sentence}`)],
  [['META_VERIFY_TOKEN', 'META_APP_SECRET', 'META_ACCESS_TOKEN', 'META_PHONE_NUMBER_ID'], config => {
    const missing = missingForWhatsApp(config).join(' and ')
    return missing === '' ? [] : [`WhatsApp is set up in part only: please set ${missing}, or none of it.`]
  }],
  [['DATABASE_URL', 'DATA_DIR'], database],
  [['SMTP_URL', 'MAIL_FROM'], mail],
  [['HOST', 'PORT'], port],
  [['OPENAI_API_KEY', 'OPENAI_BASE_URL'], provider]
]

const { config, faults } = examineConfig()
const wrong = new Set(faults.map(({ setting }) => setting))
const found = await Promise.all(checks.filter(([needs]) => !needs.some(name => wrong.has(name))).map(([, examine]) => examine(config)))
const sentences = [...faults.map(({ sentence }) => sentence), ...found.flat()]
const isWell = sentences.every(sentence => sentence.startsWith(NOTE))
process.stdout.write([...sentences, ...isWell ? ['All well.'] : []].map(sentence => `${sentence}\n`).join(''))
process.exitCode = isWell ? 0 : 1

/** An embedded database that is not there yet is not made. */
async function database ({ DATABASE_URL, DATA_DIR }: Config) {
  if (DATABASE_URL === undefined && !existsSync(path.join(DATA_DIR, 'postgres'))) return await dataFolder(DATA_DIR)
  try {
    const { connection, title, leave } = await reachDatabase({ DATABASE_URL, DATA_DIR }, silent, 0)
    try {
      const problem = await examineDatabase(connection)
      return problem === undefined ? [] : [`In ${title}: ${problem}`]
    } finally {
      await leave()
    }
  } catch (error) {
    return [(error as Error).message]
  }
}

/** It is made where it is missing, in the nearest folder that there is. */
async function dataFolder (folder: string) {
  let nearest = path.resolve(folder)
  while (!existsSync(nearest)) nearest = path.dirname(nearest)
  const isUsable = (await stat(nearest)).isDirectory() && await access(nearest, constants.W_OK).then(() => true, () => false)
  return isUsable ? [] : [`DATA_DIR, ${path.resolve(folder)}, cannot be used: ${nearest} is no folder that we may write to.`]
}

async function mail (config: Config) {
  return await reachMailServer(config).then((): string[] => [], error => [`Mail cannot be sent: ${(error as Error).message}. Please check SMTP_URL.`])
}

/** In use by a server of ours is as it should be. */
async function port ({ HOST, PORT }: Config) {
  const server = net.createServer()
  const error = await new Promise<NodeJS.ErrnoException | undefined>(resolve => {
    server.once('error', resolve)
    server.listen({ host: HOST, port: PORT }, () => server.close(() => resolve(undefined)))
  })
  if (error === undefined || (error.code === 'EADDRINUSE' && await isOurs(HOST, PORT))) return []
  return [error.code === 'EADDRINUSE'
    ? `Port ${PORT} is in use by another program: stop it, or choose another port with PORT.`
    : `Cannot listen on ${HOST}, port ${PORT}: ${error.message}. Please check HOST and PORT.`]
}

async function isOurs (host: string, port: number) {
  const answer = await ask(`http://${host.replace(/^.*:.*$/, '[$&]')}:${port}/health/live`).catch(() => undefined)
  return answer?.text === '{"status":"ok"}'
}

/** Whether the provider takes the key. Not all know this question: only a refusal counts. */
async function provider ({ OPENAI_API_KEY: key, OPENAI_BASE_URL }: Config) {
  if (key === undefined) return []
  const url = new URL(OPENAI_BASE_URL)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/models`
  const headers: Record<string, string> = url.searchParams.has('api-version') ? { 'api-key': key } : { authorization: `Bearer ${key}` }
  try {
    const { status } = await ask(url.href, headers)
    return [401, 403].includes(status) ? [`The language models at ${url.host} refuse OPENAI_API_KEY, with status ${status}.`] : []
  } catch (error) {
    return [`The language models at ${url.host} cannot be reached: ${reasonOf(error).message}. Please check OPENAI_BASE_URL.`]
  }
}

async function ask (url: string, headers: Record<string, string> = {}) {
  const patience = new AbortController()
  // For AbortSignal.timeout the process would not wait, and end without a word.
  const timer = setTimeout(() => patience.abort(new Error(`no answer within ${PATIENCE / 1000} s`)), PATIENCE)
  try {
    const answer = await fetch(url, { headers, redirect: 'manual', signal: patience.signal })
    return { status: answer.status, text: await answer.text() }
  } finally {
    clearTimeout(timer)
  }
}
