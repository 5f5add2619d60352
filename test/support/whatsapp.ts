import type pg from 'pg'
import type { Test } from 'tap'
import type { Deps } from '../../src/app.ts'
import type { Config } from '../../src/config.ts'
import { startApp } from './helper.ts'
import { signed, startMeta, type Sent } from './meta.ts'
import { until } from './process.ts'

// Code that the tests of WhatsApp share.

export const ANN = '16505551234'
export const BOB = '16505559876'
export const USER_ID = 'US.13491208655302741918'

interface Options { onSent?: (sent: Sent) => Promise<void> | void, bot?: string, changes?: Partial<Config>, works?: boolean, logger?: Deps['logger'], database?: pg.PoolConfig }

/** Starts a server with WhatsApp set up, a job worker, and a fake of Meta's API. */
export async function start (t: Test, { onSent, bot = 'favorite-song', changes = {}, works = true, logger, database }: Options = {}) {
  const meta = await startMeta(t, onSent)
  const app = await startApp(t, { ...meta.settings, WHATSAPP_BOT: bot, ...changes }, logger, database)
  if (works) await app.work()
  const { anyone, query } = app

  /** Waits until no job with such a key is running. The next attempt of a job that is running is scheduled when it ends. */
  async function noneRuns (keys: string) {
    await until(async () => (await query('SELECT FROM graphile_worker.jobs WHERE key LIKE $1 AND locked_at IS NOT NULL', [keys])).length === 0)
  }

  return {
    ...app,
    meta,
    /** Sends a webhook, and returns the status of the response. */
    async deliver (body: object | string, path = '/chat/whatsapp') {
      const raw = typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body)
      const answer = await anyone.post(path, raw, signed(raw))
      return answer.statusCode
    },
    /** Waits until no job is left. */
    async allDone () {
      await until(async () => (await query('SELECT FROM graphile_worker.jobs')).length === 0)
    },
    /** Waits until the rows of the ledger (`whatsapp_deliveries`) match. */
    async ledgerIs (expected: object[]) {
      const ledger = 'SELECT state, error_code, error, attempts, part, contact, whatsapp_id FROM whatsapp_deliveries ORDER BY id'
      const fits = (row: Record<string, unknown>, wanted: object) => Object.entries(wanted).every(([name, value]) => row[name] === value)
      return await until(async () => {
        const rows = await query(ledger)
        return rows.length === expected.length && rows.every((row, n) => fits(row, expected[n]!)) ? rows : undefined
      })
    },
    /** Lets the minute pass after which the probe sends one message while all others are held. */
    async tryAgain () {
      await noneRuns('whatsapp-probe')
      await query("UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL AND key = 'whatsapp-probe'; SELECT pg_notify('jobs:insert', '{\"r\":\"0\",\"count\":4}')")
    },
    /** Waits until only the job of the probe is left. */
    async onlyProbeWaits () {
      await until(async () => {
        const jobs = await query('SELECT key, locked_at FROM graphile_worker.jobs')
        return jobs.length === 1 && jobs[0].key === 'whatsapp-probe' && jobs[0].locked_at === null
      })
    },
    /** Makes a user an admin. */
    async admin (username = 'root') {
      const client = await app.as(username)
      await query("UPDATE users SET role = 'admin' WHERE username = $1", [username])
      return client
    },
    /** Makes all waiting deliveries and jobs due now. */
    async hurry () {
      await noneRuns('whatsapp-send%')
      await query(`UPDATE whatsapp_deliveries SET try_at = now(); UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL;
        SELECT pg_notify('jobs:insert', '{"r":"0","count":4}')`)
    },
    /**
     * From now on the queue tries nothing again until `hurry`: retries are put off by an hour, so that a test sees each state, also
     * on a machine that is slower than the pauses.
     */
    async holdRetries () {
      await query(`CREATE FUNCTION put_off () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.run_at := NEW.run_at + interval '1 hour'; RETURN NEW; END $$;
        CREATE TRIGGER put_off BEFORE INSERT OR UPDATE ON graphile_worker._private_jobs FOR EACH ROW
        WHEN (NEW.key LIKE 'whatsapp-send%' AND NEW.run_at > now() AND NEW.run_at < now() + interval '1 hour') EXECUTE FUNCTION put_off()`)
    },
    /** Waits until a retry is put off. Returns its pause in seconds. */
    async pauseOfRetry (): Promise<number> {
      const [{ pause }] = await until(async () => {
        const jobs = await query("SELECT extract(epoch FROM run_at - updated_at - interval '1 hour')::int AS pause FROM graphile_worker._private_jobs WHERE key LIKE 'whatsapp-send%' AND locked_at IS NULL")
        return jobs.length === 1 ? jobs : undefined
      })
      return pause
    },
    said: async (who = '%') => (await query(`SELECT m.sender, m.text FROM messages m JOIN conversations c ON c.id = m.conversation_id JOIN identities i ON i.user_id = c.owner_id
      WHERE i.address LIKE $1 ORDER BY m.conversation_id, m.id`, [who])).map(({ sender, text }) => `${sender}: ${text}`)
  }
}
