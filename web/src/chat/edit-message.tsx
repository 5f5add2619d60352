import { useId, useState, type KeyboardEvent } from 'react'
import { inWords } from '../api/in-words.ts'
import { useAction } from '../api/use-action.ts'
import { isComposing } from '../ui/keyboard.ts'
import { words } from '../words.ts'

interface EditMessageProps { text: string, onSave: (text: string) => Promise<unknown>, onClose: () => void }

/** A form in place of the message. Enter saves, Shift+Enter begins a new line, Escape cancels. */
export function EditMessage ({ text: before, onSave, onClose }: EditMessageProps) {
  const [text, setText] = useState(before)
  const id = useId()
  const save = useAction({ mutationFn: () => onSave(text.trim()), onSuccess: onClose })
  const submit = () => { if (text.trim() !== '') save.mutate() }

  function onKeyDown (event: KeyboardEvent) {
    if (isComposing(event)) return
    if (event.key === 'Escape') onClose()
    else if (event.key === 'Enter' && !event.shiftKey && event.target instanceof HTMLTextAreaElement) submit()
    else return
    event.preventDefault()
  }

  return (
    <form className='edit' onSubmit={event => { event.preventDefault(); submit() }} onKeyDown={onKeyDown}>
      <label className='visually-hidden' htmlFor={id}>{words.chat.editing}</label>
      <textarea
        id={id} dir='auto' value={text} autoFocus aria-describedby={`${id}-hint`}
        onFocus={({ target }) => target.setSelectionRange(text.length, text.length)} onChange={event => setText(event.target.value)}
      />
      <p id={`${id}-hint`} className='hint'>{words.chat.editHint}</p>
      {save.error !== null && <p className='problem' role='alert'>{inWords(save.error)}</p>}
      <div className='buttons'>
        <button type='button' className='button' onClick={onClose}>{words.cancel}</button>
        <button className='button primary' aria-busy={save.isPending} disabled={text.trim() === ''}>{words.save}</button>
      </div>
    </form>
  )
}
