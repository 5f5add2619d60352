import path from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from './config.ts'

/** Facts that only the running server knows. */
export interface Facts {
  /** The address on which it listens. */
  address: string
  /** The database, as `Database.title` names it. */
  database: string
  /** The bot of new conversations. */
  bot: string
  /** Whether any account is an admin. */
  hasAdmin: boolean
}

interface Terminal { isTTY?: boolean, write: (text: string) => unknown }

/** Says what has started and what to do next: a block of lines on a terminal, one line in the log elsewhere. */
export function introduce (config: Config, facts: Facts, log: Pick<FastifyBaseLogger, 'info'>, terminal: Terminal): void {
  const lines = describeStart(config, facts)
  if (terminal.isTTY !== true) return log.info(lines, 'Parley is running')
  const rows = Object.entries(lines).map(([name, text]) => `  ${name.padEnd(10)}${text}\n`)
  terminal.write(`\nParley is running. Ctrl-C stops it.\n\n${rows.join('')}\n`)
}

function describeStart (config: Config, { address, database, bot, hasAdmin }: Facts): Record<string, string> {
  const page = (config.PUBLIC_URL ?? address.replace('127.0.0.1', 'localhost')).replace(/\/$/, '')
  return {
    page,
    ...config.PUBLIC_URL !== undefined && { 'listens at': address },
    'API docs': `${page}/docs`,
    data: database,
    bot: config.OPENAI_API_KEY === undefined
      ? `${bot}, which repeats what you say. For a language model: OPENAI_API_KEY=… make run (docs/bots.md)`
      : `${bot}, with the model ${config.OPENAI_MODEL} at ${new URL(config.OPENAI_BASE_URL).host}`,
    mail: config.SMTP_URL === undefined
      ? `written to files in ${path.resolve(config.DATA_DIR, 'mail')}, sent to nobody. To send it, set SMTP_URL.`
      : `sent by ${new URL(config.SMTP_URL).host}`,
    admin: hasAdmin ? 'manages users and bots: docs/admin.md' : firstAdmin(config)
  }
}

/** How to make the first admin. */
function firstAdmin ({ PASSWORDS, SIGNUP }: Config) {
  if (PASSWORDS === 'off') return 'nobody yet. Set ADMIN_CLAIM, or sign in on the page and run a command: docs/users.md'
  if (SIGNUP !== 'open') return 'nobody yet. To create the account ann, run a command: docs/admin.md'
  return 'nobody yet. Sign up on the page as ann, then run: make admin USER=ann'
}
