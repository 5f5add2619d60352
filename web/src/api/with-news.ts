import type { Conversation } from './shapes.ts'

/** What has happened since the list of conversations was loaded: the newest state of each; null for one that the user is not in any more. */
export type NewsById = Record<number, Conversation | null>

/** A list that was loaded, with the news in it, last used first. `isWhole`: no further pages follow. */
export function withNews (list: Conversation[], news: NewsById, isWhole: boolean): Conversation[] {
  const oldest = list.at(-1)?.last_updated ?? ''
  const ids = new Set(list.map(({ id }) => id))
  const added = Object.values(news).filter(item => item !== null && !ids.has(item.id) && (isWhole || item.last_updated >= oldest)) as Conversation[]
  const merged = [...added, ...list.flatMap(conversation => news[conversation.id] === undefined ? conversation : news[conversation.id] ?? [])]
  return merged.sort((a, b) => b.last_updated.localeCompare(a.last_updated) || b.id - a.id)
}
