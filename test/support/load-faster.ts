import { createHash } from 'node:crypto'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

// Makes loading cheaper, in the processes of the tests and in the programs that they start.
//
// The files of drizzle-orm are ES modules. Node.js would look that up in the package.json of drizzle-orm, which has 180 kB,
// for each of the hundred files: 0.4 s and 230 MB of memory in every process. Built servers have a copy of drizzle-orm
// instead (scripts/build-server.ts).
//
// Modules of packages go past the hook with which tap lists all files. It searches each for a source map.
//
// Types are stripped once, before all tests, and not again in every process, which takes 0.3 s. Node.js's own compile cache
// would do that as well, but what V8 compiled before is missing from the coverage of branches.

const FOLDER_VARIABLE = 'STRIPPED_SOURCES'

registerHooks({
  resolve (specifier, context, next) {
    const { parentURL } = context
    const isInDrizzle = specifier.startsWith('.') && parentURL?.includes('/node_modules/drizzle-orm/') === true
    return isInDrizzle ? { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true } : next(specifier, context)
  },
  load (url, context, next) {
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

/** Lets this process, and those that it starts, load sources whose types `stripTypes` has stripped into this folder. */
export function loadStripped (folder: string) {
  process.env[FOLDER_VARIABLE] = folder
}

/** Strips the types of all sources that tests load. Spaces take their place, so that lines, columns and coverage stay the same. */
export function stripTypes (folder: string) {
  mkdirSync(folder, { recursive: true })
  for (const file of globSync('{src,test,bench}/**/*.ts')) {
    const source = readFileSync(file, 'utf8')
    writeFileSync(strippedFile(folder, source), stripTypeScriptTypes(source))
  }
}

function strippedFile (folder: string, source: string) {
  return path.join(folder, `${createHash('sha1').update(source).digest('hex')}.js`)
}
