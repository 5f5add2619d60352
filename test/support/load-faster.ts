import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire, registerHooks, stripTypeScriptTypes } from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import vm from 'node:vm'

// Makes loading cheaper, in the processes of the tests and in the programs that they start.
//
// Packages that the sources import come from one file, made before all tests (bundle.ts), together with what V8 compiled of
// it. To find, read and compile their thousand files takes half of the time in which a program starts. Each package is in the
// bundle once: `import` and `require` return the same module.
//
// Other modules of packages go past the hook with which tap lists all files. It searches each for a source map.
//
// Types are stripped once, before all tests, and not again in every process, which takes 0.3 s. Node.js's own compile cache
// would do that as well, but what V8 compiled before is missing from the coverage of branches. For packages that does not matter.

/** A package in the bundle: as what it is imported, where it is, and the names of its exports. */
export interface BundledPackage { name: string, url: string, isModule: boolean, exported: string[] }

type Bundle = ReturnType<typeof openBundle>

const FOLDER_VARIABLE = 'PREPARED_FOR_TESTS'
/** Where modules find the bundle's packages, by their URLs. */
const PACKAGES = Symbol.for('parley.tests.packages')

let bundle: Bundle | undefined
const preparedFolder = process.env[FOLDER_VARIABLE]
if (preparedFolder !== undefined) loadPrepared(preparedFolder)

registerHooks({
  resolve (specifier, context, next) {
    const { parentURL } = context
    const isOwn = parentURL?.includes('/node_modules/') === false
    const bundled = isOwn && context.conditions.includes('import') ? bundle?.byName.get(specifier) : undefined
    if (bundled !== undefined) return { url: bundled.url, format: 'module', shortCircuit: true }
    return next(specifier, context)
  },
  load (url, context, next) {
    const bundled = bundle?.byUrl.get(url)
    if (bundled !== undefined) {
      return context.conditions.includes('require')
        ? { format: 'commonjs', source: `module.exports = ${codeFor(bundled)}`, shortCircuit: true }
        : { format: 'module', source: moduleOf(bundled), shortCircuit: true }
    }
    if (context.format === 'module' && url.includes('/node_modules/')) {
      return { format: 'module', source: readFileSync(fileURLToPath(url)), shortCircuit: true }
    }
    const folder = process.env[FOLDER_VARIABLE]
    if (folder === undefined || !/^file:.*\.ts$/.test(url)) return next(url, context)
    try {
      const source = readFileSync(strippedFile(folder, readFileSync(fileURLToPath(url), 'utf8')), 'utf8')
      return { format: 'module', source, shortCircuit: true }
    } catch {
      return next(url, context) // this file has changed since, or is not one of ours
    }
  }
})

/** Lets this process, and those that it starts, load what was prepared in this folder. */
export function loadPrepared (folder: string) {
  process.env[FOLDER_VARIABLE] = folder
  try {
    bundle = openBundle(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** The URL of this file for `--import`: where there is one, of the copy without types, which Node.js need not load its compiler for. */
export function loaderUrl () {
  const copy = strippedFile(process.env[FOLDER_VARIABLE] ?? '', readFileSync(new URL(import.meta.url), 'utf8'))
  return existsSync(copy) ? pathToFileURL(copy).href : import.meta.url
}

/** Strips the types of all sources that tests load. Spaces take their place, so that lines, columns and coverage stay the same. */
export function stripTypes (folder: string) {
  mkdirSync(folder, { recursive: true })
  for (const file of globSync('{src,test,bench}/**/*.ts')) {
    const source = readFileSync(file, 'utf8')
    writeFileSync(strippedFile(folder, source), stripTypeScriptTypes(source))
  }
}

/** Stores what V8 has compiled of the bundle in this process, for the processes that load it later. */
export function storeCompiled (folder: string) {
  writeFileSync(filesOf(folder).compiled, bundle!.script.createCachedData())
}

export function filesOf (folder: string) {
  return { code: path.join(folder, 'packages.cjs'), list: path.join(folder, 'packages.json'), compiled: path.join(folder, 'packages.cache') }
}

function openBundle (folder: string) {
  const files = filesOf(folder)
  const list = JSON.parse(readFileSync(files.list, 'utf8')) as BundledPackage[]
  // A name among packages, so that Node.js does not take its deprecated calls for ours, and no URL, so that it has no coverage.
  const filename = fileURLToPath(list[0]!.url.replace(/(?<=\/node_modules\/).*/, 'packages.cjs'))
  const code = `(function (exports, require) {${readFileSync(files.code, 'utf8')}\n})`
  const script = new vm.Script(code, { filename, cachedData: readIfThere(files.compiled), importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER })
  const packages: Record<string, () => unknown> = {}
  script.runInThisContext()(packages, createRequire(filename))
  Object.assign(globalThis, { [PACKAGES]: packages })
  return { script, byName: new Map(list.map(one => [one.name, one])), byUrl: new Map(list.map(one => [one.url, one])) }
}

function moduleOf ({ exported, isModule, ...bundled }: BundledPackage) {
  const names = exported.filter(name => name !== 'default' || isModule)
  return `const it = ${codeFor(bundled)}
const { ${names.map((name, i) => `${JSON.stringify(name)}: _${i}`).join(', ')} } = it
export { ${names.map((name, i) => `_${i} as ${JSON.stringify(name)}`).join(', ')} }
${isModule ? '' : 'export default it'}`
}

function codeFor ({ url }: Pick<BundledPackage, 'url'>) {
  return `globalThis[Symbol.for(${JSON.stringify(PACKAGES.description)})][${JSON.stringify(url)}]()`
}

function strippedFile (folder: string, source: string) {
  return path.join(folder, `${createHash('sha1').update(source).digest('hex')}.mjs`)
}

function readIfThere (file: string) {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}
