import t, { type Test } from 'tap'
import { execFile } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { ConfigSchema } from '../../src/config.ts'
import { createGuidedBot, type Script } from '../../src/bots/guided/flow.ts'
import { blocksOf as blocks, PAGES, textOf as text } from '../support/docs.ts'
import { freshDatabase } from '../support/helper.ts'
import { openPlace, urlOf } from '../support/process.ts'

// Checks that the documentation is true. commands.test.ts runs its commands.

t.test('every link has a target', async t => {
  for (const page of PAGES) {
    const prose = text(page).replace(/^```.*?^```/gms, '')
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?:|mailto:)/.test(target!)) continue
      const [file, anchor] = target!.split('#')
      const linked = file === '' ? page : path.join(path.dirname(page), file!)
      if (!t.ok(existsSync(linked), `${page}: ${target}`) || anchor === undefined) continue
      const anchors = [...text(linked).matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replace(/[^\w\s-]/g, '').replaceAll(' ', '-'))
      t.ok(anchors.includes(anchor), `${page}: ${target}`)
    }
  }
})

t.test('every page is in the index', async t => {
  for (const page of globSync('docs/*.md')) if (page !== 'docs/README.md') t.match(text('docs/README.md'), `(${path.basename(page)})`)
})

t.test('all make targets and npm scripts in the documentation exist', async t => {
  const targets = [...text('Makefile').matchAll(/^([a-z_]+):/gm)].map(([, name]) => name)
  const scripts = Object.keys(JSON.parse(text('package.json')).scripts)
  for (const page of PAGES) {
    const code = [...text(page).matchAll(/^```sh\n(.*?)^```|`([^`\n]+)`/gms)].map(([, block, inline]) => block ?? inline).join('\n')
    for (const [, target] of code.matchAll(/(?:^|[ =])make ([a-z_]+)\b/gm)) t.ok(targets.includes(target), `${page}: make ${target}`)
    for (const [, script] of code.matchAll(/npm run (?:--silent )?([a-z:-]+)/g)) if (!page.endsWith('frontend.md') || script !== 'dev') t.ok(scripts.includes(script!), `${page}: npm run ${script}`)
  }
})

t.test('docs/settings.md has every setting with its default and description', async t => {
  const rows = text('docs/settings.md').split('\n').filter(line => line.startsWith('| `'))
  const settings = Object.entries(ConfigSchema.properties) as Array<[string, { default?: unknown, description?: string }]>
  t.same(rows, settings.map(([name, { default: value, description }]) => `| \`${name}\` | ${value === undefined ? '' : `\`${String(value)}\``} | ${description} |`))
})

t.test('docs/operations.md explains every warning and error of the log, and no others', t => {
  const files = globSync('src/**/*.ts').map(text)
  const logged = files.flatMap(code => [...code.matchAll(/\blog\.(?:warn|error|fatal)\((?:\{.*?\}, |\w+, )?['`](?:\$\{\w+\} )?(.*?)['`$]/g)].map(([, message]) => message!))
  t.ok(logged.length > 30)
  const explained = text('docs/operations.md').split('\n').filter(line => /^\| .*\(\d\d\)/.test(line))
    .flatMap(line => [...line.split(' | ')[0]!.matchAll(/`([^`]+)`/g)].map(([, message]) => message!.replaceAll('…', '').replace(/[;:,. ]+$/, '').trim()))
  t.same(logged.filter(message => !explained.some(known => message.includes(known))), [])
  t.same(explained.filter(known => !files.some(code => code.includes(known))), [])
  t.end()
})

t.test('the commands and the front end of the README, and the first calls of docs/api.md', async t => {
  const place = await openPlace(t)
  const { url } = await place.serve({ DATABASE_URL: urlOf(await freshDatabase(t)) })
  const sh = async (code: string) => (await promisify(execFile)('sh', ['-ec', code.replaceAll('http://localhost:5000', url)], { cwd: place.folder })).stdout
  const [chat] = blocks('README.md', 'sh').filter(code => code.includes('curl'))
  t.match(await sh(chat!), /Playing Bohemian Rhapsody"}$/)

  const [calls] = blocks('docs/api.md', 'sh')
  const said = await sh(calls!)
  t.match(said, /User created|"username":"ann"/)
  t.match(said, /You said: hi/)

  const [five] = blocks('README.md', 'js')
  t.ok(five!.trim().split('\n').length <= 5)
  const jar = { cookie: '' }
  const fetchWithCookies = async (input: string, init: RequestInit) => {
    const answer = await fetch(input, { ...init, headers: { ...init.headers as object, ...jar } })
    for (const cookie of answer.headers.getSetCookie()) jar.cookie = cookie.split(';')[0]!
    return answer
  }
  const file = path.join(place.folder, 'five.mjs')
  await writeFile(file, `export async function run (fetch) { ${five!.replaceAll('http://localhost:5000', url)}; return messages }`)
  const { run } = await import(pathToFileURL(file).href)
  t.match(await run(fetchWithCookies), [{ text: 'Hello!' }, { text: 'You said: Hello!' }])
})

t.test('the script of docs/bots.md asks its three questions', async t => {
  const script = await importScript(t)
  const bot = createGuidedBot(script)
  let state: unknown
  const say = (text: string) => {
    const answer = bot({ text, state })
    state = answer.state
    return answer.text
  }
  t.same(['Hi', 'Ann', 'Friday', 'four', '4', 'Hi', 'again'].map(say), [
    'What is your name?', 'Hello Ann! For which day?', 'For how many people?', 'Please answer with a number. For how many people?',
    'Booked: Ann, Friday, 4 people.', 'Your table is booked, Ann. Write "again" for another one.', 'What is your name?'
  ])
})

async function importScript (t: Test): Promise<Script> {
  const [code] = blocks('docs/bots.md', 'ts').filter(code => code.includes('export const booking'))
  const folder = t.testdir()
  await mkdir(path.join(folder, 'guided'))
  await cp('src/bots/guided/flow.ts', path.join(folder, 'guided/flow.ts'))
  const file = path.join(folder, 'guided/booking.mts')
  await writeFile(file, code!)
  return (await import(pathToFileURL(file).href)).booking
}
