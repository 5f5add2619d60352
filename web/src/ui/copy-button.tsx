import { useEffect, useState } from 'react'
import { words } from '../words.ts'
import { Icon } from './icon.tsx'

const CONFIRMED_MS = 2_000

/** Copies a text to the clipboard. Shows nothing where browsers have no clipboard: on pages by http from another machine. */
export function CopyButton ({ text, label }: { text: string, label: string }) {
  const [outcome, setOutcome] = useState<'copied' | 'notCopied'>()
  useEffect(() => {
    if (outcome !== 'copied') return
    const timer = setTimeout(setOutcome, CONFIRMED_MS, undefined)
    return () => clearTimeout(timer)
  }, [outcome])
  if (!window.isSecureContext) return null
  async function copy () {
    // Browsers refuse it if the user has denied it, or if a frame around the page does not allow it.
    setOutcome(await navigator.clipboard.writeText(text).then(() => 'copied' as const, () => 'notCopied' as const))
  }
  return <button className='text-button' onClick={copy}><Icon name={outcome === 'copied' ? 'done' : 'copy'} />{outcome === undefined ? label : words.chat[outcome]}</button>
}
