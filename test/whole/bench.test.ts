import { execFile } from 'node:child_process'
import net from 'node:net'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { hasPgbench, pgbench } from '../../bench/pgbench.ts'
import { freshDatabase } from '../support/helper.ts'

const MEASURED = [
  'newest 50 messages', 'newest 50 messages, 110,000 messages',
  'list of conversations', 'list of conversations, 110,000 messages',
  'send a message', 'send a message, 110,000 messages',
  'guided chat by phone', 'guided chat by phone, 110,000 messages',
  'send a message of parts', 'send a message, WORKERS=2',
  'first page of 1,000 conversations', 'last page of 1,000 conversations',
  'start to first answer', 'memory at rest',
  'other routes beside 100 logins a second',
  '20 users beside one that asks for everything',
  'first word of a reply', 'first word while 100 replies grow', 'complete of replies at once', 'memory of each of 100 replies',
  'memory of each of 500 quiet sockets', 'message to a group of 100, 99th percentile'
]

async function bench (...args: string[]) {
  return await promisify(execFile)(process.execPath, ['bench/main.ts', ...args], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' } // the benchmark runs the built server, whose coverage cannot be added to that of the sources
  })
}

t.test('the quick form of the benchmark measures every row', async t => {
  const { stdout } = await bench('--quick')
  const lines = stdout.split('\n')
  for (const what of MEASURED) t.match(lines.find(line => line.startsWith(`${what}  `)), /^.* [\d.,]+ .*(reached|yardstick fell|no yardstick)$/, what)
  if (await hasPgbench()) for (const count of [4, 16, 64]) t.match(stdout, new RegExp(`\\n${count} connections append to one bot: .* %`), 'what they wait for')
  t.match(stdout, /yardstick pgbench|On Debian and Ubuntu it is in the package postgresql/)
})

t.test('a name that no measurement has is refused, instead of measuring everything', async t => {
  await t.rejects(bench('--quick', 'streams', 'stream'), {
    code: 1,
    stdout: '',
    stderr: 'There are no measurements of this name: stream. There are: messages, writers, workers, start, logins, shares, streams, sockets.\n'
  })
})

const noPgbench = !await hasPgbench() && 'pgbench is not installed (apt-get install postgresql)'

t.test('the reference measurement by pgbench also works when its clients connect slowly', { skip: noPgbench }, async t => {
  const { host, port, user, database } = await freshDatabase(t)
  const slow = net.createServer(async near => {
    await sleep(50)
    const far = net.connect(host!.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host: host!, port: port! })
    for (const [end, other] of [[near, far], [far, near]] as const) end.on('error', () => { /* 'close' follows */ }).on('close', () => other.destroy()).pipe(other)
  })
  t.teardown(() => { slow.close() })
  await once(slow.listen(0, '127.0.0.1'), 'listening')
  const there = { host: '127.0.0.1', port: (slow.address() as net.AddressInfo).port, user, database }
  await t.rejects(pgbench(there, 'SELECT 1', { seconds: 2 }), /pgbench measured nothing/, 'two seconds are not enough for 64 clients to connect')
  t.ok(await pgbench(there, 'SELECT 1', { each: 2 }) > 0)
  await t.rejects(pgbench(there, "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END $$", { each: 1 }), /64 statements failed/)
})
