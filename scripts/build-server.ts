import { build } from 'vite'

// Builds the server and its commands into dist/, one file for each of src/, without the types. drizzle-orm is copied there
// as well: Node.js reads the package.json of each module that it loads, and that of drizzle-orm has 180 kB. Loaded from
// node_modules, its hundred modules would take 0.4 s and 230 MB of memory at every start.

await build({
  configFile: false,
  logLevel: 'warn',
  ssr: { noExternal: ['drizzle-orm'] },
  build: {
    ssr: true,
    outDir: 'dist',
    emptyOutDir: true,
    target: 'node22',
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: ['src/server.ts', 'src/admin.ts', 'src/doctor.ts', 'src/db/command.ts'],
      output: { preserveModules: true, preserveModulesRoot: 'src', entryFileNames: '[name].js' }
    }
  }
})
