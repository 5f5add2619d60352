import { useEffect, useId, useRef, type ReactNode } from 'react'
import { words } from '../words.js'
import { Icon } from './icon.js'

/** Over everything else: the browser keeps the focus inside, and Escape closes it. */
export function Dialog ({ title, onClose, children }: { title: string, onClose: () => void, children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const shown = dialog.current!
    shown.showModal()
    return () => shown.close()
  }, [])
  return (
    <dialog ref={dialog} className='dialog' aria-labelledby={id} onCancel={onClose} onClick={event => { if (event.target === dialog.current) onClose() }}>
      <div className='dialog-body'>
        <header className='dialog-head'>
          <h2 id={id}>{title}</h2>
          <button className='icon-button' aria-label={words.close} onClick={onClose}><Icon name='close' /></button>
        </header>
        {children}
      </div>
    </dialog>
  )
}
