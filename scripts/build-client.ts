import { execFile } from 'node:child_process'
import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'vite'

// Builds what the server gives away: the client as an npm package at /client.tgz, and as one file for browsers at /client.js.
// Both come out the same each time that the same sources are built.

const FOLDER = path.resolve('dist/client')
const PACKAGE = path.join(FOLDER, 'package')
const run = promisify(execFile)

const { version, license, engines } = JSON.parse(await readFile('package.json', 'utf8'))
const entry = (name: string) => ({ types: `./${name}.d.ts`, default: `./${name}.js` })

await rm(FOLDER, { recursive: true, force: true })
await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'client/tsconfig.build.json'])
await writeFile(path.join(PACKAGE, 'package.json'), JSON.stringify({
  name: 'parley',
  version,
  description: 'The client of a Parley server: conversations, messages, and replies as they are written.',
  license,
  type: 'module',
  sideEffects: false,
  engines,
  exports: { '.': entry('index'), './react': entry('react/index'), './ai-sdk': entry('ai-sdk/index'), './package.json': './package.json' },
  peerDependencies: { ai: '>=5', react: '>=18' },
  peerDependenciesMeta: { ai: { optional: true }, react: { optional: true } }
}, undefined, 2))
await copyFile('client/README.md', path.join(PACKAGE, 'README.md'))
await copyFile('LICENSE', path.join(PACKAGE, 'LICENSE'))
await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', FOLDER], { cwd: PACKAGE })
await rename(path.join(FOLDER, `parley-${version}.tgz`), path.join(FOLDER, 'client.tgz'))
await rm(PACKAGE, { recursive: true })

await build({
  configFile: false,
  logLevel: 'warn',
  build: {
    outDir: FOLDER,
    emptyOutDir: false,
    target: 'baseline-widely-available',
    lib: { entry: 'client/module.ts', formats: ['es'], fileName: () => 'client.js' },
    rolldownOptions: { output: { minify: true } }
  }
})
const built = path.join(FOLDER, 'client.js')
const source = await readFile(built)
await writeFile(`${built}.gz`, gzipSync(source, { level: 9 }))
await writeFile(`${built}.br`, brotliCompressSync(source))
