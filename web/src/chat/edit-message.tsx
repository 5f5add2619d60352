import { useId, useState, type KeyboardEvent } from 'react'
import { inWords } from '../api/in-words.ts'
import { useAction } from '../api/use-action.ts'
import { keepDraft, readDraft } from '../ui/drafts.ts'
import { isComposing } from '../ui/keyboard.ts'
import { words } from '../words.ts'

interface EditMessageProps {
  /** The name under which the changed text is kept. */
  draft: string
  text: string
  onSave: (text: string) => Promise<unknown>
  onClose: () => void
}

/** A form in place of the message. Enter saves, Shift+Enter begins a new line, Escape cancels. */
export function EditMessage ({ draft, text: before, onSave, onClose }: EditMessageProps) {
  const [text, setText] = useState(() => readDraft(draft) || before)
  // After a reload, this form comes by itself, and the user may be writing in the composer already.
  const [takesFocus] = useState(() => !(document.activeElement instanceof HTMLTextAreaElement))
  const id = useId()
  const save = useAction({ mutationFn: () => onSave(text.trim()), onSuccess: close })
  const submit = () => { if (text.trim() !== '') save.mutate() }

  function write (next: string) {
    setText(next)
    keepDraft(draft, next)
  }

  function close () {
    keepDraft(draft, '')
    onClose()
  }

  function onKeyDown (event: KeyboardEvent) {
    if (isComposing(event)) return
    if (event.key === 'Escape') close()
    else if (event.key === 'Enter' && !event.shiftKey && event.target instanceof HTMLTextAreaElement) submit()
    else return
    event.preventDefault()
  }

  return (
    <form className='edit' onSubmit={event => { event.preventDefault(); submit() }} onKeyDown={onKeyDown}>
      <label className='visually-hidden' htmlFor={id}>{words.chat.editing}</label>
      <textarea
        id={id} dir='auto' value={text} autoFocus={takesFocus} aria-describedby={`${id}-hint`}
        onFocus={({ target }) => target.setSelectionRange(text.length, text.length)} onChange={event => write(event.target.value)}
      />
      <p id={`${id}-hint`} className='hint'>{words.chat.editHint}</p>
      {save.error !== null && <p className='problem' role='alert'>{inWords(save.error)}</p>}
      <div className='buttons'>
        <button type='button' className='button' onClick={close}>{words.cancel}</button>
        <button className='button primary' aria-busy={save.isPending} disabled={text.trim() === ''}>{words.save}</button>
      </div>
    </form>
  )
}
