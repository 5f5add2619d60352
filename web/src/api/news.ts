import { useQuery } from '@tanstack/react-query'
import type { NewsById } from './with-news.ts'

export const NEWS_KEY = ['news']

/** The news, for a component. `followNews` puts them into the cache. */
export function useNews () {
  return useQuery({ queryKey: NEWS_KEY, queryFn: ({ client }) => client.getQueryData<NewsById>(NEWS_KEY) ?? {}, initialData: {} as NewsById, staleTime: Infinity }).data
}
