import { useQuery } from '@tanstack/react-query'
import type { NewsById } from '../../../client/with-news.ts'
import type { Conversation } from './shapes.ts'

export const NEWS_KEY = ['news']

/** The news, for a component. `followNews` puts them into the cache. */
export function useNews () {
  return useQuery({ queryKey: NEWS_KEY, queryFn: ({ client }) => client.getQueryData<NewsById<Conversation>>(NEWS_KEY) ?? {}, initialData: {} as NewsById<Conversation>, staleTime: Infinity }).data
}
