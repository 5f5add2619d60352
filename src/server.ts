import './v8-flags.ts'

// Imported only now, since Node.js loads all static imports before it runs the first of them: the flags would come too late.
await import('./serve.ts')
