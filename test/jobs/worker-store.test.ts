import t from 'tap'
import { createWorkerStore } from '../../src/jobs/worker-store.ts'
import { startApp } from '../support/helper.ts'

t.test('the jobs of a dead worker are unlocked, also one that was replaced while it ran', async t => {
  const { db, query } = await startApp(t)
  const add = async (key: string) => {
    const [job] = await query("SELECT id FROM graphile_worker.add_job('whatsapp-send', '{}', job_key => $1, run_at => now() + interval '1 hour')", [key])
    return Number(job.id)
  }
  const begin = (job: number, worker: string, since: string) =>
    query('UPDATE graphile_worker._private_jobs SET locked_by = $2, locked_at = now() - $3::interval, attempts = attempts + 1 WHERE id = $1', [job, worker, since])
  const isFree = async (job: number) => (await query('SELECT is_available AS free FROM graphile_worker._private_jobs WHERE id = $1', [job]))[0].free

  const [abandoned, replaced, alive, failed] = [await add('a'), await add('b'), await add('c'), await add('d')]
  await begin(abandoned, 'dead', '1 minute')
  await begin(replaced, 'dead', '1 minute')
  await begin(alive, 'alive', '1 minute')
  await query('UPDATE graphile_worker._private_jobs SET attempts = max_attempts, key = NULL WHERE id = $1', [failed])
  const successor = await add('b')
  t.not(successor, replaced)
  const workers = createWorkerStore(db)
  await workers.isAlive('alive')

  await workers.unlockDead(10)
  t.same(await Promise.all([abandoned, replaced, alive, failed, successor].map(isFree)), [true, true, false, false, true])
})
