import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import path from 'node:path'

// Runs the tests that need no Postgres, server or browser (test/**/*.pure.test.ts). They run in one process, because most of
// their time would be spent on starting Node.js. To run only files with certain names: npm run test:quick -- text slots

const wanted = process.argv.slice(2)
const files = globSync('test/**/*.pure.test.ts').filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)))
const program = files.map(file => `await import(${JSON.stringify(path.resolve(file))})`).join('\n')
const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 })

const passed = stdout.match(/^ +ok \d+/gm)?.length ?? 0
if (status !== 0 || passed === 0) process.stdout.write(stdout.replaceAll(/^ *(ok \d+ .*|# Subtest: .*|\d+\.\.\d+)?\n/gm, ''))
console.log(`${files.length} files, ${passed} checks passed, ${status === 0 && passed > 0 ? 'none failed' : 'some failed'}, in ${(performance.now() / 1000).toFixed(1)} s`)
process.exitCode = passed === 0 ? 1 : status ?? 1
