// Texts that were typed but not sent. They are kept in the tab's session storage: they survive a reload, but not the tab. Where
// the storage is disabled or full, they are in memory only, and survive neither.

const PREFIX = 'parley draft '

const inMemory = new Map<string, string>()

/** The name of a user's draft in a conversation. Another user who signs in on this tab does not see it. */
export const draftOf = (user: number, conversation: number | 'new') => `${user} ${conversation}`

/** The name of the draft in a chat by phone number. */
export const draftOfPhone = (phone: string) => `phone ${phone}`

export function readDraft (name: string) {
  return inMemory.get(name) ?? attempt(() => window.sessionStorage.getItem(PREFIX + name)) ?? ''
}

export function keepDraft (name: string, text: string) {
  inMemory.set(name, text)
  attempt(() => {
    if (text === '') window.sessionStorage.removeItem(PREFIX + name)
    else window.sessionStorage.setItem(PREFIX + name, text)
  })
}

/** Deletes all drafts, except those of the user `except`, if given. */
export function forgetDrafts (except?: number) {
  const isOthers = (name: string) => !name.startsWith(`${except} `)
  for (const name of [...inMemory.keys()].filter(isOthers)) inMemory.delete(name)
  attempt(() => {
    const others = Object.keys(window.sessionStorage).filter(key => key.startsWith(PREFIX) && isOthers(key.slice(PREFIX.length)))
    for (const key of others) window.sessionStorage.removeItem(key)
  })
}

/** Storage may be disabled or full. The page goes on working without it. */
export function attempt<T> (work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
