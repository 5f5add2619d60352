import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const MEASURED = [
  'newest 50 messages', 'newest 50 messages, 110,000 messages',
  'list of conversations', 'list of conversations, 110,000 messages',
  'send a message', 'send a message, 110,000 messages',
  'guided chat by phone', 'guided chat by phone, 110,000 messages',
  'first page of 1,000 conversations', 'last page of 1,000 conversations',
  'start to first answer', 'memory at rest',
  'other routes beside 100 logins a second',
  'first word of a reply', 'first word while 100 replies grow', 'complete of replies at once', 'memory of each of 100 replies',
  'memory of each of 500 quiet sockets', 'message to a group of 100, 99th percentile'
]

t.test('the quick form of the benchmark measures every row', async t => {
  t.setTimeout(300_000)
  const { stdout } = await promisify(execFile)('node_modules/.bin/tsx', ['bench/main.ts', '--quick'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' } // tsx compiles src/ otherwise than tap does, and the two cannot be added up
  })
  const lines = stdout.split('\n')
  for (const what of MEASURED) t.match(lines.find(line => line.startsWith(`${what}  `)), /^.* [\d.,]+ .*(reached|no yardstick)$/, what)
  t.match(stdout, /yardstick pgbench|On Debian and Ubuntu it is in the package postgresql/)
})
