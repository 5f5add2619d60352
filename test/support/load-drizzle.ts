import { registerHooks } from 'node:module'

// Tells Node.js that the files of drizzle-orm are ES modules. It would look that up in the package.json of drizzle-orm,
// which has 180 kB, for each of the hundred files: 0.4 s and 230 MB of memory in every process of the tests. Built servers
// have a copy of drizzle-orm instead (scripts/build-server.ts).

registerHooks({
  resolve (specifier, context, next) {
    const { parentURL } = context
    const isInDrizzle = specifier.startsWith('.') && parentURL?.includes('/node_modules/drizzle-orm/') === true
    return isInDrizzle ? { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true } : next(specifier, context)
  }
})
