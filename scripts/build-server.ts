import path from 'node:path'
import { build } from 'vite'

// Builds the server and its commands into dist/, without the types: one file for each of src/, at the same path, so that stack
// traces and relative paths stay as they are; and one for each package that they use, in dist/packages/. Loaded from
// node_modules, the 1,700 files of these packages would take more CPU time and 6 MB more memory at every start. One file for
// everything would take more memory than that again: V8 needs 16 MB to parse it.

const PROGRAMS = {
  server: 'src/server.ts',
  admin: 'src/admin.ts',
  doctor: 'src/doctor.ts',
  'db/command': 'src/db/command.ts',
  'accounts/hash-process': 'src/accounts/hash-process.ts'
}

/** Packages that are loaded from node_modules. */
const LEFT_ALONE = [
  'bcrypt', 'pino', 'pino-pretty', // native code, and code for worker threads
  '@fastify/swagger-ui', '@fastify/static', 'yaml', // the first one serves files beside its own, and needs the other two
  'pg', /^@opentelemetry\/(?!api$)/, // traces patch pg as CommonJS loads it
  'bufferutil', 'utf-8-validate', 'typescript' // ws and graphile-config use them if they are installed
]

const sources = path.resolve('src') + path.sep
const programs = Object.values(PROGRAMS).map(file => path.resolve(file))

await build({
  configFile: false,
  logLevel: 'warn',
  ssr: { noExternal: true },
  build: {
    ssr: true,
    outDir: 'dist',
    emptyOutDir: true,
    target: 'node22',
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: PROGRAMS,
      external: LEFT_ALONE,
      output: {
        entryFileNames: '[name].js',
        chunkFileNames: '[name].js',
        charset: 'ascii', // V8 keeps a text with any other character in UTF-16
        comments: false,
        codeSplitting: { includeDependenciesRecursively: false, groups: [{ name: placeOf, debugName: 'modules' }] }
      }
    }
  }
})

/** The path in dist/, without extension, of the file that a module goes into. */
function placeOf (module: string): string | undefined {
  const [, name] = /.*[/\\]node_modules[/\\]((?:@[^/\\]+[/\\])?[^/\\]+)/.exec(module) ?? []
  if (name !== undefined) return `packages/${name}`
  if (module.startsWith(sources) && !programs.includes(module)) return module.slice(sources.length).replace(/\.ts$/, '')
}
