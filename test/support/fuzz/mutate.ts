import type { Draw } from './draw.ts'
import { hostileValue, STRINGS } from './hostile.ts'

type Parent = Record<string | number, unknown>

/** Changes a JSON value in one place: the value there is replaced, removed, wrapped or made longer. */
export function mutate (draw: Draw, value: unknown): unknown {
  const root = { value: structuredClone(value) }
  const [parent, key] = draw.pick(placesIn(root))
  const at = parent[key]
  draw.pick([
    () => { parent[key] = hostileValue(draw) },
    () => { if (parent === (root as Parent)) parent[key] = {}; else if (Array.isArray(parent)) parent.splice(Number(key), 1); else delete parent[key] },
    () => { parent[key] = [at] },
    () => { parent[key] = typeof at === 'string' ? `${at}${draw.pick(STRINGS)}` : draw.pick(STRINGS) },
    () => { parent[key] = typeof at === 'number' ? String(at) : Number(at) || 0 },
    () => { if (Array.isArray(at)) at.push(...at, ...at); else parent[key] = null }
  ])()
  return root.value
}

/** Every place in a JSON value, the value itself first. */
function placesIn (root: Parent): Array<[Parent, string | number]> {
  const places: Array<[Parent, string | number]> = []
  const left: Parent[] = [root]
  while (left.length > 0) {
    const parent = left.shift()!
    for (const key of Object.keys(parent)) {
      places.push([parent, Array.isArray(parent) ? Number(key) : key])
      if (typeof parent[key] === 'object' && parent[key] !== null) left.push(parent[key] as Parent)
    }
  }
  return places
}
