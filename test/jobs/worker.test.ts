import t from 'tap'
import { startWorker } from '../../src/jobs/worker.ts'
import { freshDatabase, run } from '../support/helper.ts'
import { until } from '../support/process.ts'

const log = { debug () {}, info () {}, warn () {}, error () {} }

t.test('a worker runs a job of which it did not hear when the queue gave it away, and no running job twice', async t => {
  const connection = await freshDatabase(t)
  const query = (sql: string) => run(connection, sql)
  const ran: string[] = []
  const { promise: isLongOver, resolve: endLong } = Promise.withResolvers<void>()
  const tasks = {
    long: async () => {
      ran.push('long')
      await isLongOver
    },
    short: () => { ran.push('short') }
  }
  const worker = await startWorker({ connection: { ...connection, query_timeout: 1_000 }, tasks, log })
  t.teardown(worker.stop)
  await query("SELECT graphile_worker.add_job('long', '{}')")
  await until(() => ran.includes('long'))

  // The first time that the job is given away, this takes longer than the worker waits for the response.
  await query(`CREATE FUNCTION be_slow () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$;
    CREATE TRIGGER be_slow BEFORE UPDATE ON graphile_worker._private_jobs FOR EACH ROW WHEN (OLD.attempts = 0) EXECUTE FUNCTION be_slow()`)
  await query("SELECT graphile_worker.add_job('short', '{}')")
  await until(async () => (await query("SELECT FROM graphile_worker.jobs WHERE task_identifier = 'short' AND locked_at IS NOT NULL")).length > 0)
  t.same(ran, ['long'])

  await query("UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 minute'")
  await until(() => ran.includes('short'))
  t.same(ran, ['long', 'short'])
  endLong()
  await until(async () => (await query('SELECT FROM graphile_worker.jobs')).length === 0)
  t.same(ran, ['long', 'short'])
})
