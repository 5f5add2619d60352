/** Entries that have changed since a list was loaded, by id: the newest state, or null for a deleted one. */
export type NewsById<T> = Record<number, T | null>

/** Merges news into a loaded list, last used first. `isWhole`: the list has no further pages. */
export function withNews<T extends { id: number, last_updated: string }> (list: T[], news: NewsById<T>, isWhole: boolean): T[] {
  const oldest = list.at(-1)?.last_updated ?? ''
  const ids = new Set(list.map(({ id }) => id))
  const added = Object.values(news).filter(item => item !== null && !ids.has(item.id) && (isWhole || item.last_updated >= oldest)) as T[]
  const merged = [...added, ...list.flatMap(conversation => news[conversation.id] === undefined ? conversation : news[conversation.id] ?? [])]
  return merged.sort((a, b) => b.last_updated.localeCompare(a.last_updated) || b.id - a.id)
}
