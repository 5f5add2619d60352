import { useState, type RefObject } from 'react'
import { mentionBegunIn, mentionsIn } from '../../../src/text/mentions.ts'
import { words } from '../words.ts'

/** Somebody who can be mentioned: by `name` in the text, and shown as `title`. */
export interface Mentionable { name: string, title: string }

/** Whether a text mentions one of these. */
export function hasMention (text: string, mentionable: Mentionable[]) {
  const names = new Set(mentionable.map(({ name }) => name.toLowerCase()))
  return mentionsIn(text).some(name => names.has(name))
}

export type Mentions = ReturnType<typeof useMentions>

/** Completes mentions while a user types: `found` are the suggestions for what is in front of the cursor. */
export function useMentions (area: RefObject<HTMLTextAreaElement | null>, text: string, mentionable: Mentionable[], write: (text: string) => void) {
  const [cursor, setCursor] = useState<number>()
  const [selected, select] = useState(0)
  const begun = cursor === undefined ? undefined : mentionBegunIn(text.slice(0, cursor))?.toLowerCase()
  const found = begun === undefined ? [] : mentionable.filter(({ name, title }) => [name, title].some(text => text.toLowerCase().startsWith(begun)) && name.toLowerCase() !== begun)

  /** Replaces `[from, to)` of the text by a mention, and puts the cursor behind it. */
  function put (name: string, from: number, to: number) {
    const mention = `@${name} `
    write(text.slice(0, from) + mention + text.slice(to).trimStart())
    setCursor(undefined)
    requestAnimationFrame(() => {
      area.current?.focus()
      area.current?.setSelectionRange(from + mention.length, from + mention.length)
    })
  }
  const choose = (name: string) => put(name, cursor! - begun!.length - 1, cursor!)

  return {
    found,
    selected: Math.min(selected, found.length - 1),
    choose,
    insert: (name: string) => put(name, 0, 0),
    close: () => setCursor(undefined),
    onSelect () {
      const { selectionStart: from, selectionEnd: to } = area.current!
      setCursor(from === to ? from : undefined)
      select(0)
    },
    /** Whether the key was for the suggestions. */
    onKeyDown (key: string) {
      if (found.length === 0) return false
      if (key === 'ArrowDown') select((selected + 1) % found.length)
      else if (key === 'ArrowUp') select((selected + found.length - 1) % found.length)
      else if (key === 'Enter' || key === 'Tab') choose(found[Math.min(selected, found.length - 1)]!.name)
      else if (key === 'Escape') setCursor(undefined)
      else return false
      return true
    }
  }
}

export const optionId = (list: string, at: number) => `${list}-${at}`

/** The suggestions, above the composer. Keys reach them through the text field, which keeps the focus. */
export function Suggestions ({ id, found, selected, choose }: Mentions & { id: string }) {
  return (
    <>
      {found.length > 0 && (
        <ul id={id} className='suggestions' role='listbox' aria-label={words.chat.mentions}>
          {found.map(({ name, title }, at) => (
            <li
              key={name} id={optionId(id, at)} role='option' aria-selected={at === selected}
              onMouseDown={event => event.preventDefault()} onClick={() => choose(name)}
            ><span dir='auto'>{title}</span> <span className='hint'>@{name}</span>
            </li>
          ))}
        </ul>
      )}
      <p className='visually-hidden' role='status'>{found.length > 0 && words.chat.mentionsFound(found.length)}</p>
    </>
  )
}
