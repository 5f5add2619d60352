import t from 'tap'
import { globSync, readFileSync } from 'node:fs'

// One name has one meaning, and a number says its unit: rules of the code that no linter has.

const files = globSync('src/**/*.ts').map(file => ({ file, text: readFileSync(file, 'utf8') }))

t.test('no two files export the same name', async t => {
  const exported = new Map<string, string[]>()
  for (const { file, text } of files) {
    const names = [...text.matchAll(/^export (?:async )?(?:function\*?|const|class|interface|type) (\w+)/gm)].map(([, name]) => name!)
    for (const name of new Set(names)) exported.set(name, [...exported.get(name) ?? [], file])
  }
  t.ok(exported.size > 100)
  t.same([...exported].filter(([, where]) => where.length > 1), [])
})

t.test('a constant that is a time bears its unit', async t => {
  const constants = files.flatMap(({ file, text }) =>
    [...text.matchAll(/(\/\*\*(?:(?!\*\/)[^])*\*\/\n)(?:export )?const ([A-Z][A-Z0-9_]*) = [\d_ *+]+$/gm)].map(([, comment, name]) => ({ file, comment: comment!, name: name! })))
  t.ok(constants.length > 20)
  const times = constants.filter(({ comment }) => /\b(in (milliseconds|seconds|minutes|hours|days)|(milliseconds|seconds):)/i.test(comment))
  t.same(times.filter(({ name }) => !/_(MS|SECONDS|MINUTES|HOURS|DAYS)$/.test(name)).map(({ file, name }) => `${file}: ${name}`), [])
})

t.test('no two prepared statements have the same name', t => {
  const names = files.flatMap(({ file, text }) =>
    [...text.matchAll(/(?:prepareQuery\(|\.prepare\(|readTogether(?:<[^(]*>)?\(\{\s*name: |\{\s*name: (?='[^']*',\s*text: ))'([^']+)'/g)].map(([, name]) => ({ file, name: name! })))
  t.ok(names.length > 30)
  const twice = names.filter(({ name }, nth) => names.findIndex(other => other.name === name) !== nth)
  t.same(twice, [], 'PostgreSQL would run one in place of the other')
  t.end()
})
