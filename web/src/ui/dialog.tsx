import { useId, useLayoutEffect, useRef, type ReactNode } from 'react'
import { words } from '../words.ts'
import { Form } from './form.tsx'
import { Icon } from './icon.tsx'

interface DialogProps { title: string, onClose: () => void, role?: 'alertdialog', children: ReactNode }

/** A modal dialog: the browser keeps the focus inside, and Escape closes it. */
export function Dialog ({ title, onClose, role, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  /** Whether the mouse button was pressed outside of the dialog. A drag from the inside to the outside, which selects text, ends with a click there, too. */
  const isPressedOutside = useRef(false)
  const id = useId()
  // In a layout effect, since the dialog has to be closed before it is removed, or the focus would not go back to where it was.
  useLayoutEffect(() => {
    const shown = dialog.current!
    shown.showModal()
    shown.querySelector<HTMLElement>('[data-focus-first]')?.focus() // React sets no `autofocus` attribute, which showModal() would follow
    return () => shown.close()
  }, [])
  return (
    <dialog
      ref={dialog} className='dialog' role={role} aria-labelledby={id}
      onCancel={event => { event.stopPropagation(); onClose() }}
      onPointerDown={event => { isPressedOutside.current = event.target === dialog.current }}
      onClick={event => { if (event.target === dialog.current && isPressedOutside.current) onClose() }}
    >
      <div className='dialog-body'>
        <header className='dialog-head'>
          <h2 id={id}>{title}</h2>
          <button className='icon-button' aria-label={words.close} title={words.close} onClick={onClose} data-focus-fallback><Icon name='close' /></button>
        </header>
        {children}
      </div>
    </dialog>
  )
}

interface ConfirmProps { title: string, text: string, submit: string, onConfirm: () => Promise<unknown>, onClose: () => void }

/** Asks before something that cannot be undone. */
export function Confirm ({ title, text, submit, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} role='alertdialog' onClose={onClose}>
      <p>{text}</p>
      <Form className='buttons' submit={submit} isDanger action={async () => { await onConfirm(); onClose() }}>
        <button type='button' className='button' onClick={onClose} data-focus-first>{words.cancel}</button>
      </Form>
    </Dialog>
  )
}
