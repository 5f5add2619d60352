// Texts that were typed but not sent. They are kept in the tab's session storage: they survive a reload, but not the tab.

const PREFIX = 'parley draft '

/** The name of a user's draft in a conversation. Another user who signs in on this tab does not see it. */
export const draftOf = (user: number, conversation: number | 'new') => `${user} ${conversation}`

/** The name of the draft in a chat by phone number. */
export const draftOfPhone = (phone: string) => `phone ${phone}`

export function readDraft (name: string) {
  return attempt(() => window.sessionStorage.getItem(PREFIX + name)) ?? ''
}

export function keepDraft (name: string, text: string) {
  attempt(() => {
    if (text === '') window.sessionStorage.removeItem(PREFIX + name)
    else window.sessionStorage.setItem(PREFIX + name, text)
  })
}

/** Deletes all drafts, except those of the user `except`, if given. */
export function forgetDrafts (except?: number) {
  attempt(() => {
    const others = Object.keys(window.sessionStorage).filter(name => name.startsWith(PREFIX) && !name.startsWith(`${PREFIX}${except} `))
    for (const name of others) window.sessionStorage.removeItem(name)
  })
}

/** Storage may be disabled or full. Drafts are then lost on a reload, but the page goes on working. */
export function attempt<T> (work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
