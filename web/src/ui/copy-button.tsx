import { useEffect, useState } from 'react'
import { words } from '../words.ts'
import { Icon } from './icon.tsx'

const CONFIRMED_MS = 2_000

/** Copies a text to the clipboard. Shows nothing where browsers have no clipboard: on pages by http from another machine. */
export function CopyButton ({ text, label }: { text: string, label: string }) {
  const [isCopied, setIsCopied] = useState(false)
  useEffect(() => {
    if (!isCopied) return
    const timer = setTimeout(setIsCopied, CONFIRMED_MS, false)
    return () => clearTimeout(timer)
  }, [isCopied])
  if (!window.isSecureContext) return null
  async function copy () {
    await navigator.clipboard.writeText(text)
    setIsCopied(true)
  }
  return <button className='text-button' onClick={copy}><Icon name={isCopied ? 'done' : 'copy'} />{isCopied ? words.chat.copied : label}</button>
}
