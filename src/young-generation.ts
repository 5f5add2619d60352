import v8 from 'node:v8'

// Imported before all else. V8 lets its young generation grow, up to 32 MB, by what outlives it, and gives nothing back: a
// start makes hardly anything that does not. It grows when the server needs it.
v8.setFlagsFromString('--semi-space-growth-factor=1')

/** From now on the young generation grows with the load, as V8 does by itself. */
export function letGrow () {
  v8.setFlagsFromString('--semi-space-growth-factor=2')
}
