import v8 from 'node:v8'

// Imported before everything else. Start-up allocates long-lived objects, which makes V8 enlarge its young generation to up
// to 32 MB for good. This keeps it small from here until the server listens.
v8.setFlagsFromString('--semi-space-growth-factor=1')

/** Lets the young generation grow with the load from now on, which is V8's default. */
export function letGrow () {
  v8.setFlagsFromString('--semi-space-growth-factor=2')
}
