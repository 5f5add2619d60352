import { words } from '../words.ts'

/** Shown below a message that could not be sent: the reason, and buttons to retry or discard it. */
export function Unsent ({ problem, onAgain, onDiscard }: { problem: string, onAgain: () => void, onDiscard: () => void }) {
  return (
    <span className='unsent' role='alert'>
      <span className='problem'>{problem}</span>
      <button className='text-button' onClick={onAgain}>{words.tryAgain}</button>
      <button className='text-button' onClick={onDiscard}>{words.chat.discard}</button>
    </span>
  )
}
