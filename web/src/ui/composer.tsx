import { useEffect, useId, useRef, useState, type ReactNode } from 'react'
import { words } from '../words.js'
import { Icon } from './icon.js'

/** As the server counts: 8,000 code points after trimming. */
const MOST = 8_000

interface ComposerProps {
  /** What was typed stays when this fails. */
  onSend: (text: string) => unknown
  isDisabled?: boolean
  beside?: ReactNode
}

/** Where one writes. Enter sends, as long as no input method is still composing. */
export function Composer ({ onSend, isDisabled = false, beside }: ComposerProps) {
  const [text, setText] = useState('')
  const area = useRef<HTMLTextAreaElement>(null)
  const id = useId()
  const trimmed = text.trim()
  const isTooLong = trimmed.length > MOST && [...trimmed].length > MOST

  // A keyboard on the screen would cover what there is to read.
  useEffect(() => { if (window.matchMedia('(hover: hover)').matches) area.current?.focus() }, [])

  async function send () {
    if (trimmed === '' || isTooLong || isDisabled) return
    area.current?.focus()
    try {
      await onSend(trimmed)
      setText('')
    } catch {
      // Whoever sends says what went wrong.
    }
  }

  return (
    <form className='composer' onSubmit={event => { event.preventDefault(); send() }}>
      {isTooLong && <p className='problem' role='alert'>{words.fields.tooLong(MOST)}</p>}
      <div className='composer-row'>
        <label className='visually-hidden' htmlFor={id}>{words.chat.message}</label>
        <textarea
          ref={area} id={id} rows={1} value={text} placeholder={words.chat.placeholder} aria-describedby={`${id}-hint`} enterKeyHint='send'
          onChange={event => setText(event.target.value)}
          onKeyDown={event => {
            if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
            event.preventDefault()
            send()
          }}
        />
        <span id={`${id}-hint`} className='visually-hidden'>{words.chat.composerHint}</span>
        {beside}
        <button className='icon-button send' aria-label={words.chat.send} disabled={trimmed === '' || isTooLong || isDisabled}><Icon name='send' /></button>
      </div>
    </form>
  )
}
