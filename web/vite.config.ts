import react from '@vitejs/plugin-react'
import path from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** Beside each file its compressed forms, so that the server need not compress the same again for everybody. */
function precompress (): Plugin {
  return {
    name: 'precompress',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler (_options, bundle) {
        for (const [fileName, file] of Object.entries(bundle)) {
          const source = file.type === 'chunk' ? file.code : file.source
          this.emitFile({ type: 'asset', fileName: `${fileName}.gz`, source: gzipSync(source, { level: 9 }) })
          this.emitFile({ type: 'asset', fileName: `${fileName}.br`, source: brotliCompressSync(source) })
        }
      }
    }
  }
}

/** The page imports the client by the name that it has when the server gives it away. */
const client = (file: string) => path.resolve(import.meta.dirname, '../client', file)

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react(), precompress()],
  resolve: { alias: { 'parley/react': client('react/index.ts'), parley: client('index.ts') } },
  server: { port: 5173, strictPort: true },
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    assetsInlineLimit: 0, // the Content-Security-Policy has no data: addresses
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false } }, // do not warn that this plugin takes most of the time: it compresses the files
    target: 'baseline-widely-available'
  }
})
