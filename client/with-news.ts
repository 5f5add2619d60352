/** What has happened since a list was loaded: the newest state of each entry; null for one that is gone. */
export type NewsById<T> = Record<number, T | null>

/** A list that was loaded, with the news in it, last used first. `isWhole`: no further pages follow. */
export function withNews<T extends { id: number, last_updated: string }> (list: T[], news: NewsById<T>, isWhole: boolean): T[] {
  const oldest = list.at(-1)?.last_updated ?? ''
  const ids = new Set(list.map(({ id }) => id))
  const added = Object.values(news).filter(item => item !== null && !ids.has(item.id) && (isWhole || item.last_updated >= oldest)) as T[]
  const merged = [...added, ...list.flatMap(conversation => news[conversation.id] === undefined ? conversation : news[conversation.id] ?? [])]
  return merged.sort((a, b) => b.last_updated.localeCompare(a.last_updated) || b.id - a.id)
}
