import t from 'tap'
import { createJobLocks } from '../../src/db/job-lock.ts'
import { startApp } from '../support/helper.ts'

t.test('the work of a job is not lost if another job with the same key is about to end', async t => {
  const { db, query } = await startApp(t)
  const turns = createJobLocks(db)
  const begin = async () => {
    const [job] = await query("SELECT id FROM graphile_worker.add_job('whatsapp-inbox', '{}')")
    await query('UPDATE graphile_worker._private_jobs SET locked_at = now() WHERE id = $1', [job.id])
    return Number(job.id)
  }
  const [first, second] = [await begin(), await begin()]
  const waiting = ['one']
  const done: string[] = []

  await turns.workAlone('a key', first, async () => {
    done.push(...waiting.splice(0), 'looked')
    if (done.length > 2) return
    // The first job has checked for waiting work, and has not ended yet.
    waiting.push('two')
    await turns.workAlone('a key', second, async () => { throw new Error('two at once') })
  })
  t.same(done, ['one', 'looked', 'two', 'looked'])
  t.same(await query('SELECT FROM turns'), [], 'the lock is released')

  await turns.workAlone('a key', first, async () => { done.push('again') })
  t.equal(done.at(-1), 'again', 'without a second job the work runs once')
  t.equal(done.length, 5)
})

t.test('a dead job loses its lock and its `wanted` mark', async t => {
  const { db, query } = await startApp(t)
  const turns = createJobLocks(db)
  await query("INSERT INTO turns (key, job, wanted) VALUES ('a key', 404, true)")
  const [job] = await query("SELECT id FROM graphile_worker.add_job('whatsapp-inbox', '{}')")
  let rounds = 0
  await turns.workAlone('a key', Number(job.id), async () => { rounds++ })
  t.equal(rounds, 1)
  t.same(await query('SELECT FROM turns'), [])
})

t.test('a running job is retried when it fails, also if it was replaced, when another job relies on it', async t => {
  const { db, query } = await startApp(t)
  const turns = createJobLocks(db)
  const begin = async () => {
    const [job] = await query("SELECT id FROM graphile_worker.add_job('whatsapp-inbox', '{}', job_key => 'a key', run_at => now() + interval '1 hour')")
    await query('UPDATE graphile_worker._private_jobs SET locked_at = now(), attempts = attempts + 1 WHERE id = $1', [job.id])
    return Number(job.id)
  }
  const isTriedAgain = async (job: number) => (await query('SELECT attempts < max_attempts AS again FROM graphile_worker.jobs WHERE id = $1', [job]))[0].again
  const first = await begin()
  await t.rejects(turns.workAlone('a key', first, async () => {
    const second = await begin()
    t.equal(await isTriedAgain(first), false, 'the queue would not retry the first job')
    await turns.workAlone('a key', second, async () => { throw new Error('two at once') })
    throw new Error('the database is away')
  }), { message: 'the database is away' })
  t.equal(await isTriedAgain(first), true)
})
