import { useId, useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import { words } from '../words.js'

interface EditMessageProps { text: string, onSave: (text: string) => Promise<unknown>, onClose: () => void }

/** In the place of the message. */
export function EditMessage ({ text: before, onSave, onClose }: EditMessageProps) {
  const [text, setText] = useState(before)
  const id = useId()
  const save = useMutation({ mutationFn: () => onSave(text.trim()), onSuccess: onClose })
  return (
    <form className='edit' onSubmit={event => { event.preventDefault(); if (text.trim() !== '') save.mutate() }} onKeyDown={event => { if (event.key === 'Escape') onClose() }}>
      <label className='visually-hidden' htmlFor={id}>{words.chat.editing}</label>
      <textarea id={id} value={text} autoFocus onChange={event => setText(event.target.value)} aria-describedby={`${id}-hint`} />
      <p id={`${id}-hint`} className='hint'>{words.chat.editHint}</p>
      {save.error !== null && <p className='problem' role='alert'>{save.error.message}</p>}
      <div className='buttons'>
        <button type='button' className='button' onClick={onClose}>{words.cancel}</button>
        <button className='button primary' aria-busy={save.isPending} disabled={text.trim() === ''}>{words.save}</button>
      </div>
    </form>
  )
}
