import { useRef } from 'react'
import { useMutation, type UseMutationOptions } from '@tanstack/react-query'

/** As `useMutation`, but nothing happens while it is under way. The second click of a double click comes before `isPending` does. */
export function useAction<Values = void> (options: UseMutationOptions<unknown, Error, Values>) {
  const mutation = useMutation(options)
  const isRunning = useRef(false)
  return {
    ...mutation,
    mutate (values: Values) {
      if (isRunning.current) return
      isRunning.current = true
      mutation.mutateAsync(values).catch(() => { /* `error` has it */ }).finally(() => { isRunning.current = false })
    }
  }
}
