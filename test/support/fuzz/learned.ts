/** The maximum number of resources and values of one kind that are remembered. The oldest are forgotten first. */
const MOST = 40

type Json = Record<string, unknown>

/**
 * What the answers of the server have shown so far: which resources exist and who has seen them, and which values the
 * fields of a resource had. A collection is named by the path of its list, as `/api/conversations/{}/messages`.
 */
export function createLearned () {
  const resources = new Map<string, string[][]>()
  const values = new Map<string, unknown[]>()

  return {
    /** Reads an answer of a collection, or of a resource in it, whose path has these ids. */
    learn (collection: string, ids: string[], answer: unknown, caller: string) {
      for (const item of Array.isArray(answer) ? answer.slice(0, MOST) : [answer]) {
        if (typeof item === 'object' && item !== null) this.learnOne(collection, ids, item as Json, caller)
      }
    },

    learnOne (collection: string, ids: string[], item: Json, caller: string) {
      const depth = collection.split('{}').length - 1
      const own = item['id'] === undefined ? ids.slice(0, depth) : [...ids.slice(0, depth), String(item['id'])]
      if (own.length > depth) remember(resources, `${collection} ${caller}`, own)
      for (const [field, value] of Object.entries(item)) {
        if (Array.isArray(value)) this.learn(`${collection}/{}/${field}`, own, value, caller)
        else if (typeof value === 'string' || typeof value === 'number') this.learnValue(collection, field, value)
      }
    },

    learnValue (collection: string, field: string, value: unknown) {
      remember(values, `${lastOf(collection)}.${field}`, value)
    },

    /** The ids of the resources that a caller has seen, a list for each, outermost first. */
    idsOf: (collection: string, caller: string) => resources.get(`${collection} ${caller}`) ?? [],

    valuesOf: (collection: string, field: string) => values.get(`${lastOf(collection)}.${field}`) ?? [],

    forget (collection: string, ids: string[], caller: string) {
      const kept = this.idsOf(collection, caller).filter(known => known.join() !== ids.join())
      resources.set(`${collection} ${caller}`, kept)
    }
  }
}

function lastOf (collection: string) {
  return collection.slice(collection.lastIndexOf('/') + 1)
}

function remember<T> (lists: Map<string, T[]>, key: string, value: T) {
  const list = lists.get(key) ?? []
  lists.set(key, list)
  const text = JSON.stringify(value)
  if (list.some(known => JSON.stringify(known) === text)) return
  list.push(value)
  if (list.length > MOST) list.shift()
}
