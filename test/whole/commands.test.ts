import t, { type Test } from 'tap'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { ConfigSchema } from '../../src/config.ts'
import { blocksOf, commandsOf, PAGES } from '../support/docs.ts'
import { freePort, until } from '../support/process.ts'

// Runs every command of the README and of docs/ in a copy of this folder, exactly as it is written there, except that ports are free ones.

/** Commands that are not run here, and why. Each new command must be run below or be listed here. */
const NOT_RUN: Record<string, string> = {
  'make test': 'runs this test',
  'npm create --yes vite@latest my-chat -- --template react-ts --no-interactive': 'needs the registry of npm',
  'npm install socket.io-client': 'needs the registry of npm',
  'npm install @ag-ui/client': 'needs the registry of npm',
  'npm run admin -- --subject f81d4fae-7dec-11d0-a765-00a0c91e6bf6': 'needs a user of an OpenID Connect provider; admin.test.ts runs it',
  'docker compose up --detach --wait': 'needs Docker',
  'docker compose exec app node dist/doctor.js': 'needs Docker',
  'docker compose exec app node dist/db/command.js backup': 'needs Docker',
  'docker compose -f compose.scale.yaml up --build --wait': 'needs Docker',
  "compose='docker compose -f compose.scale.yaml'": 'needs Docker',
  'for app in app1 app2; do $compose up --build --no-deps --wait $app && $compose exec proxy nginx -s reload; done': 'needs Docker',
  [`curl -X POST https://chat.example.com/api/admin/whatsapp/templates/order_ready -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -H 'Idempotency-Key: order-12345' \\
  -d '{"to": "16505551234", "language": "en_US", "variables": ["Ann", "12345"]}'`]: 'needs a template that Meta has approved'
}

const pages = PAGES.filter(page => page === 'README.md' || page.startsWith('docs/'))
const documented = new Set(pages.flatMap(page => blocksOf(page, 'sh').flatMap(commandsOf)))
const ran = new Set<string>()

/** The first command of a page that starts with this text. */
function command (page: string, start: string) {
  const found = blocksOf(page, 'sh').flatMap(commandsOf).find(one => one.startsWith(start))
  if (found === undefined) throw new Error(`${page} has no command ${start}`)
  ran.add(found)
  return found
}

/** All commands of the first block of a page that contains this text. */
function block (page: string, part: string) {
  const commands = commandsOf(blocksOf(page, 'sh').find(code => code.includes(part))!)
  for (const one of commands) ran.add(one)
  return commands
}

/** Makes a copy of this folder, installed and built, in which commands can be run. */
async function openCopy (t: Test) {
  const home = await realpath(await mkdtemp(path.join(os.tmpdir(), 'parley-docs-')))
  const folder = path.join(home, 'parley')
  const ended: Array<() => Promise<void>> = []
  t.teardown(async () => {
    for (const end of ended) await end()
    await rm(home, { recursive: true, maxRetries: 5 })
  })
  for (const name of ['Makefile', 'LICENSE', 'package.json', 'package-lock.json', 'tsconfig.json', 'src', 'scripts', 'drizzle', 'docs', 'deploy', 'client', 'web', 'dist']) {
    await cp(name, path.join(folder, name), { recursive: true })
  }
  await symlink(path.resolve('node_modules'), path.join(folder, 'node_modules'))
  // Make compares modification times. node_modules must be newer than these two files, and dist newer than the sources, or make installs and builds again.
  for (const name of ['package.json', 'package-lock.json']) await utimes(path.join(folder, name), 0, 0)
  await utimes(path.join(folder, 'dist/server.js'), new Date(), new Date())
  await chmod(home, 0o711) // if root starts nginx, its workers run as another user and must be able to enter this folder

  const ports = new Map(await Promise.all(['5000', '5001', '5002', '5173'].map(async port => [port, String(await freePort())] as const)))
  // Does not replace the ports in `app1:5000` and `app2:5000` of the shipped nginx.conf.
  const local = (code: string) => code.replace(/(?<!app\d:)\b5(000|001|002|173)\b/g, port => ports.get(port)!)
  const environment = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !(name in ConfigSchema.properties) && !/^(TAP|NODE_OPTIONS|npm_|MAKE)/.test(name))),
    PORT: ports.get('5000')!,
    CORS_ORIGINS: local('http://localhost:5173'),
    MAX_EVENT_LOOP_DELAY: '0'
  }
  return {
    home,
    folder,
    local,
    /** Runs the commands to their end and returns what they printed. Throws if they fail. */
    async sh (commands: string | string[], { cwd = folder, input = '', env = {} } = {}) {
      const child = execFile('sh', ['-ec', local([commands].flat().join('\n'))], { cwd, env: { ...environment, ...env } })
      child.stdin!.on('error', () => { /* it ended without reading its input */ }).end(input)
      let said = ''
      for (const stream of [child.stdout!, child.stderr!]) stream.on('data', text => { said += text })
      const [code] = await once(child, 'close')
      if (code !== 0) throw new Error(`${commands}: ${said}`)
      return said
    },
    /** Starts a command that runs until Ctrl-C, and waits until it prints this. */
    async start (commands: string | string[], ready: RegExp, { cwd = folder } = {}) {
      const child = spawn('sh', ['-ec', local([commands].flat().join('\n'))], { cwd, env: environment, detached: true })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => { said += text })
      const exit = once(child, 'close')
      /** Sends SIGINT to the whole process group, as a terminal does. */
      const ctrlC = async () => {
        if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGINT')
        await exit
      }
      ended.push(ctrlC)
      await until(() => ready.test(said) || child.exitCode !== null)
      if (!ready.test(said)) throw new Error(`${commands}: ${said}`)
      return { said, exit, ctrlC }
    }
  }
}

const RUNS = /Parley is running/
const notBuilt = existsSync('dist/server.js') ? false : 'skipped: the server is not built (npm run build)'

t.test('the commands of the README and of docs/', { skip: notBuilt, timeout: 600_000 }, async t => {
  const { home, folder, local, sh, start } = await openCopy(t)
  const curl = block('README.md', 'Bohemian')

  let server = await start(command('README.md', 'make run'), RUNS)
  t.match(await sh(block('docs/api.md', 'signup')), /You said: hi/)
  t.match(await sh(curl), /Playing Bohemian Rhapsody/)
  t.match(await sh(command('README.md', 'make admin')), /ann is an admin/)
  await sh('curl -sf http://localhost:5000/api/signup -H \'Content-Type: application/json\' -d "{\\"username\\": \\"Zoe O\'Hara \\$x\\", \\"password\\": \\"correct horse\\"}"')
  t.match(await sh('make admin USER="Zoe O\'Hara \\$x"'), "Zoe O'Hara $x is an admin")
  t.match(await sh(command('docs/admin.md', 'npm run admin')), /ann is an admin/)
  t.match(await sh(command('docs/admin.md', 'printf'), { env: { PASSWORD: 'correct horse' } }), /ada is an admin/)
  t.match(await sh(block('docs/admin.md', 'admin/users')), /"username":"ada"/)
  t.match(await sh(block('docs/users.md', 'admin/keys')), /"external_id":"42"[^]*"token":"[^]*"username":"Maria","text":"How can I help\?"/)
  t.match(await sh(block('docs/users.md', 'me/keys')), /"username":"ann"/)

  const [mkdirTerminal, cd, copy, token, chat] = ['mkdir my-terminal', 'cd my-terminal', 'cp ../parley/docs/frontend/ag-ui.ts', 'export TOKEN', 'node chat'].map(start => command('docs/frontend.md', start))
  await sh([mkdirTerminal!, cd!, copy!], { cwd: home })
  const terminal = path.join(home, 'my-terminal')
  await symlink(path.resolve('node_modules'), path.join(terminal, 'node_modules'))
  await writeFile(path.join(terminal, 'chat.mjs'), local(await readFile(path.join(terminal, 'chat.mjs'), 'utf8')))
  t.match(await sh([token!, chat!], { cwd: terminal, input: 'hi\n' }), /simulated: You said: hi/)

  t.match(await sh(command('docs/operations.md', 'make doctor')), /✓ Database/)
  await mkdir(path.join(home, 'backups'))
  await sh(command('docs/operations.md', 'make backup FILE').replace('/mnt', home))
  await sh('make backup FILE="../backups/it\'s \\$5.sql.gz"')
  t.same(readdirSync(path.join(home, 'backups')).sort(), ["it's $5.sql.gz", 'parley.sql.gz'])
  await sh(command('docs/operations.md', 'make backup'))
  await sh(command('docs/operations.md', 'make stop'))
  await server.exit
  const [backup] = readdirSync(path.join(folder, 'data/backups'))
  await sh(command('docs/operations.md', 'make restore').replace(/[^/]+$/, backup!), { input: 'yes\n' })

  for (const [page, line, bot] of [
    ['README.md', 'OPENAI_API_KEY', /assistant, with the model gpt/], ['README.md', 'OPENAI_BASE_URL', /assistant, with the model llama3/],
    ['docs/watch.md', 'OTEL', /simulated/]
  ] as const) {
    server = await start(command(page, line), RUNS)
    t.match(server.said, bot)
    await server.ctrlC()
  }
  t.match(await sh([...block('docs/bots.md', '# Ollama'), 'echo $OPENAI_MODEL']), /^deepseek/)

  await writeFile(path.join(folder, 'bot.mjs'), blocksOf('docs/bots.md', 'js').find(code => code.includes('createHmac'))!)
  const bot = await start(command('docs/bots.md', 'SECRET'), /Ready/)
  server = await start(command('docs/bots.md', 'WEBHOOK_ALLOW'), RUNS)
  t.match(await sh(block('docs/bots.md', '"engine": "webhook"')), /I heard: hi/)
  await bot.ctrlC()
  await writeFile(path.join(folder, 'agent.mjs'), blocksOf('docs/bots.md', 'js').find(code => code.includes('RUN_STARTED'))!)
  const agent = await start(command('docs/bots.md', 'KEY'), /Ready/)
  t.match(await sh(block('docs/bots.md', '"engine": "ag-ui"')), /I heard: hi/)
  await agent.ctrlC()
  await server.ctrlC()

  const whatsapp = block('docs/whatsapp.md', 'whatsapp:sample')
  const exports = whatsapp.filter(one => one.startsWith('export'))
  server = await start([...exports, 'make run'], RUNS)
  t.match(await sh([...exports, ...whatsapp.filter(one => one.startsWith('npm'))]), /What is your name\?[^]*Hello John/)
  await server.ctrlC()

  // A guided script of the reader's own. The server is started from the sources, since a build takes too long for a test.
  const [script, lines] = ['export const booking', "from './guided/booking.ts'"].map(part => blocksOf('docs/bots.md', 'ts').find(code => code.includes(part))!)
  await writeFile(path.join(folder, 'src/bots/guided/booking.ts'), script!)
  const directory = path.join(folder, 'src/bots/directory.ts')
  const [imported, scripts] = lines!.trim().split('\n')
  await writeFile(directory, `${imported}\n${(await readFile(directory, 'utf8')).replace(/^const scripts.*$/m, scripts!)}`)
  server = await start('node src/server.ts', RUNS)
  await sh(block('docs/bots.md', '"script": "booking"'))
  await server.ctrlC()
  server = await start(command('docs/bots.md', 'PHONE_BOT').replace('make run', 'node src/server.ts'), RUNS)
  t.match(await sh(curl.map(one => one.replace('1111111111', '2222222222'))), /What is your name[^]*For which day[^]*For how many people/)
  await server.ctrlC()

  // The files that create-vite generates, as far as this test needs them.
  const app = path.join(home, 'my-chat')
  await mkdir(path.join(app, 'src'), { recursive: true })
  await symlink(path.resolve('node_modules'), path.join(app, 'node_modules'))
  await writeFile(path.join(app, 'package.json'), '{ "type": "module", "scripts": { "dev": "vite" } }')
  await writeFile(path.join(app, 'vite.config.js'), "import react from '@vitejs/plugin-react'\nexport default { plugins: [react()] }")
  await sh([command('docs/frontend.md', 'cd '), command('docs/frontend.md', 'cp ')], { cwd: home })
  const vite = await start(`${command('docs/frontend.md', 'npm run dev')} -- --port 5173 --strictPort`, /ready in/, { cwd: app })
  t.match(await sh('curl -sf http://localhost:5173/src/App.tsx'), /function App/)
  await vite.ctrlC()

  t.match(await sh([command('README.md', 'echo "JWT_SECRET'), command('README.md', 'echo "POSTGRES_PASSWORD'), 'cat .env']), /^JWT_SECRET=\w{64}\nPOSTGRES_PASSWORD=\w{32}\n$/)

  if (t.ok(hasNginx(), 'nginx is installed (Debian: apt-get install nginx-light)')) {
    // One after the other, since the first one builds: the sources were changed above.
    for (const port of ['5001', '5002']) await start(command('docs/scaling.md', `PUBLIC_URL=http://localhost:5000 TRUST_PROXY=loopback make run PORT=${port}`), RUNS)
    await sh(block('docs/scaling.md', 'nginx -p'))
    const login = 'curl -si http://localhost:5000/api/login -H \'Origin: http://localhost:5000\' -H \'Content-Type: application/json\' -d \'{"username": "ann", "password": "correct horse"}\''
    t.match(await sh(login), /^HTTP\/1.1 200/)
    await sh('make stop PORT=5001')
    t.match(await sh(login), /^HTTP\/1.1 200/, 'the other instance answers')
    await sh(command('docs/scaling.md', 'kill'))
    t.match(readFileSync(path.join(folder, 'nginx/parley.conf'), 'utf8'), local('127.0.0.1:5002'))
  }

  // These settings in docs/users.md are checked by the test of trusted issuers.
  for (const one of documented) if (/^TRUSTED_ISSUERS='.*'$/.test(one)) ran.add(one)
  t.same([...documented].filter(one => !ran.has(one) && !(one in NOT_RUN)), [], 'each command is run, or is listed in NOT_RUN')
  t.same(Object.keys(NOT_RUN).filter(one => !documented.has(one) || ran.has(one)), [], 'NOT_RUN lists only commands that are documented and not run')
})

function hasNginx () {
  try {
    return execFileSync('nginx', ['-v'], { stdio: 'ignore' }) !== undefined
  } catch {
    return false
  }
}
