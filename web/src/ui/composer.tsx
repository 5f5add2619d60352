import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from 'react'
import { isLongerThan, trimmed as trim } from '../../../src/text/text.ts'
import { words } from '../words.ts'
import { keepDraft, readDraft } from './drafts.ts'
import { Icon } from './icon.tsx'
import { isComposing } from './keyboard.ts'
import { hasMention, optionId, Suggestions, useMentions, type Mentionable } from './mentions.tsx'

/** The longest message that any bot accepts, in code points after trimming, as the server counts. */
const MOST_CODE_POINTS = 100_000

interface ComposerProps {
  /** The name under which the draft is kept. */
  draft: string
  /** Sends a message. If it fails, the text stays in the composer. */
  onSend: (text: string) => unknown
  isDisabled?: boolean
  /** The longest message, in code points. */
  most?: number
  /** Names that can be mentioned with @. If there are any, a hint says that only mentioned bots reply. */
  mentionable?: Mentionable[]
  beside?: ReactNode
}

const NOBODY: Mentionable[] = []

/** The field where users write messages. Enter sends, unless it belongs to an input method. */
export function Composer ({ draft, onSend, isDisabled = false, most = MOST_CODE_POINTS, mentionable = NOBODY, beside }: ComposerProps) {
  const [text, setText] = useState(() => readDraft(draft))
  const area = useRef<HTMLTextAreaElement>(null)
  const isSending = useRef(false)
  const id = useId()
  const mentions = useMentions(area, text, mentionable, write)
  const trimmed = trim(text)
  const isTooLong = isLongerThan(most, trimmed)

  useEffect(() => {
    area.current!.setSelectionRange(text.length, text.length) // behind the draft, where the user goes on writing
    // On a touch screen, the keyboard would cover the messages.
    if (window.matchMedia('(hover: hover)').matches) area.current!.focus()
  }, [])

  function write (next: string) {
    setText(next)
    keepDraft(draft, next)
  }

  async function send () {
    // Another Enter may come before `isDisabled` does.
    if (trimmed === '' || isTooLong || isDisabled || isSending.current) return
    isSending.current = true
    area.current?.focus()
    try {
      await onSend(trimmed)
      write('')
    } catch {
      // The sender shows what went wrong.
    } finally {
      isSending.current = false
    }
  }

  function onKeyDown (event: KeyboardEvent) {
    if (isComposing(event)) return
    if (mentions.onKeyDown(event.key)) event.preventDefault()
    else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault()
      send()
    }
  }

  return (
    <form className='composer' onSubmit={event => { event.preventDefault(); send() }}>
      {isTooLong && <p className='problem' role='alert'>{words.fields.tooLong(most)}</p>}
      {mentionable.length > 0 && !hasMention(text, mentionable) && (
        <p className='mention-hint'>
          {words.chat.mentionHint}
          {mentionable.map(({ name }) => <button key={name} type='button' className='text-button' onClick={() => mentions.insert(name)}>@{name}</button>)}
        </p>
      )}
      <Suggestions id={`${id}-mentions`} {...mentions} />
      <div className='composer-row'>
        <label className='visually-hidden' htmlFor={id}>{words.chat.message}</label>
        <textarea
          ref={area} id={id} dir='auto' rows={1} value={text} placeholder={words.chat.placeholder} enterKeyHint='send' data-focus-fallback
          aria-describedby={`${id}-hint`} aria-autocomplete={mentionable.length > 0 ? 'list' : undefined}
          aria-controls={mentions.found.length > 0 ? `${id}-mentions` : undefined}
          aria-activedescendant={mentions.found.length > 0 ? optionId(`${id}-mentions`, mentions.selected) : undefined}
          onChange={event => { write(event.target.value); mentions.onSelect() }} onSelect={mentions.onSelect} onKeyDown={onKeyDown} onBlur={mentions.close}
        />
        <span id={`${id}-hint`} className='visually-hidden'>{words.chat.composerHint}</span>
        {beside}
        <button className='icon-button send' aria-label={words.chat.send} title={words.chat.send} disabled={trimmed === '' || isTooLong || isDisabled}><Icon name='send' /></button>
      </div>
    </form>
  )
}
