import { existsSync, readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import { freshDatabase } from './support/helper.ts'
import { openPlace, until, urlOf } from './support/process.ts'

const noThreads = existsSync('/proc/self/task') ? false : 'skipped: the system does not list threads in /proc'

t.test('threads that hash passwords have a lower priority than the one that answers', { skip: noThreads }, async t => {
  const place = await openPlace(t)
  const { pid } = await place.serve({ DATABASE_URL: urlOf(await freshDatabase(t)), JWT_SECRET: 'x'.repeat(32) })
  const threads = () => readdirSync(`/proc/${pid}/task`).map(thread => {
    // "pid (name) state ppid …": the priority is the 17th field after the name.
    const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'))!
    return { isMain: thread === `${pid}`, name, priority: Number(rest!.split(' ')[16]) }
  })
  const ofPool = () => threads().filter(({ name }) => name === 'libuv-worker').map(({ priority }) => priority)
  t.same(await until(() => ofPool().every(priority => priority !== 0) && ofPool()), [10, 10, 10, 10])
  t.same(threads().filter(({ isMain }) => isMain).map(({ priority }) => priority), [0])
})
