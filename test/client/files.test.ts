import t from 'tap'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import { clientFiles } from '../../src/http/client-files.ts'
import { startApp } from '../support/helper.ts'
import { startLive } from '../support/live.ts'

// The client as the server gives it away: as an npm package, and as a module for browsers.

const run = promisify(execFile)
const FILES = ['client.js', 'client.tgz']
const notBuilt = FILES.every(file => existsSync(`dist/client/${file}`)) ? false : 'skipped: the client is not built (npm run build)'

t.test('pages of all origins may load it, and an unchanged one is not sent again', { skip: notBuilt }, async t => {
  const { anyone } = await startApp(t, { CORS_ORIGINS: 'https://app.example' })
  for (const [file, type] of [['client.js', 'text/javascript; charset=utf-8'], ['client.tgz', 'application/gzip']] as const) {
    const answer = await anyone.get(`/${file}`, { origin: 'https://elsewhere.example' })
    t.match([answer.statusCode, answer.headers], [200, {
      'content-type': type, 'cache-control': 'no-cache', etag: String, vary: /Accept-Encoding/, 'access-control-allow-origin': '*', 'cross-origin-resource-policy': 'cross-origin'
    }])
    t.ok(answer.rawPayload.equals(readFileSync(`dist/client/${file}`)))
    t.equal((await anyone.get(`/${file}`, { 'if-none-match': String(answer.headers.etag) })).statusCode, 304)
    const listed = await anyone.get(`/${file}`, { origin: 'https://app.example' })
    t.match(listed.headers, { 'access-control-allow-origin': 'https://app.example', 'access-control-allow-credentials': 'true', vary: /Origin/ })
  }
})

t.test('the module is compressed, and has less than 8 kB with gzip', { skip: notBuilt }, async t => {
  const { anyone } = await startApp(t)
  const plain = await anyone.get('/client.js')
  const gzip = await anyone.get('/client.js', { 'accept-encoding': 'gzip' })
  t.equal(gzip.headers['content-encoding'], 'gzip')
  t.equal(gunzipSync(gzip.rawPayload).toString(), plain.body)
  const brotli = await anyone.get('/client.js', { 'accept-encoding': 'gzip, deflate, br' })
  t.equal(brotli.headers['content-encoding'], 'br')
  t.equal(brotliDecompressSync(brotli.rawPayload).toString(), plain.body)
  const { length } = gzipSync(plain.rawPayload)
  t.ok(length < 8_000, `${length} bytes`)
  t.notMatch(plain.body, /\bimport\s*["'{*]|\bfrom\s*["']/, 'it imports nothing')
})

t.test('if it was not built, it is not there', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(clientFiles, { folder: t.testdir({ 'client.js': '' }) })
  for (const file of FILES) t.equal((await app.inject(`/${file}`)).statusCode, 404)
})

t.test('npm installs it from the server, without a registry, and its types are right', { skip: notBuilt }, async t => {
  const { url, as } = await startLive(t)
  await as('ann')
  const folder = t.testdir({
    'package.json': JSON.stringify({ private: true, type: 'module' }),
    'tsconfig.json': JSON.stringify({
      compilerOptions: { module: 'nodenext', target: 'es2024', lib: ['es2024', 'dom', 'dom.iterable'], types: [], strict: true, noEmit: true, skipLibCheck: false },
      files: ['right.ts', 'hooks.ts', 'wrong.ts']
    }),
    'right.ts': `import { createClient, ParleyError, type Message } from 'parley'
      const parley = createClient({ url: '${url}' })
      const { username } = await parley.signIn({ username: 'ann', password: 'correct horse' })
      const chat = await parley.create({ name: 'Plans' })
      const done = chat.follow(({ messages, isReplying }) => { if (messages.length === 2 && !isReplying) { done(); report(messages) } })
      const report = (messages: Message[]) => console.log(username, messages.map(({ text }) => text).join())
      try { await parley.conversation(999_999).send('Hello?') } catch (error) { if (error instanceof ParleyError) console.log(error.code) }
      await chat.send('Hello!')`,
    'hooks.ts': `import { useConversations, useReply } from 'parley/react'
      export const useTitle = (): string => useReply(1).reply?.text ?? useConversations().conversations[0]!.name
      export const useWrong = (): number => useReply('one').reply`,
    'wrong.ts': `import { createClient } from 'parley'
      const parley = createClient()
      parley.request('get', '/api/nothing')
      parley.request('delete', '/api/conversations')
      parley.request('get', '/api/conversations/{id}', { path: { id: 'one' } })
      parley.conversation(1).state.messages[0].shout()`
  })
  const npm = ['install', `${url}/client.tgz`, '--no-audit', '--no-fund', '--omit=peer', `--cache=${folder}/.npm`, '--registry=http://127.0.0.1:1', '--fetch-retries=0']
  await run('npm', npm, { cwd: folder })
  const { name, version, dependencies } = JSON.parse(readFileSync(`${folder}/node_modules/parley/package.json`, 'utf8'))
  t.match([name, version, dependencies], ['parley', JSON.parse(readFileSync('package.json', 'utf8')).version, undefined])

  const { stdout: faults } = await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder]).catch(error => error)
  const lines = [...faults.matchAll(/(right|hooks|wrong)\.ts\((\d+),/g)].map(([, file, line]) => `${file} ${line}`)
  t.same([...new Set(lines)], ['hooks 3', 'wrong 3', 'wrong 4', 'wrong 5', 'wrong 6'], faults)
  const { stdout } = await run(process.execPath, ['right.ts'], { cwd: folder })
  t.equal(stdout, 'CONVERSATION_NOT_FOUND\nann Hello!,You said: Hello!\n')
})
