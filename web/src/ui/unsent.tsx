import { words } from '../words.js'

/** Below a message that is not sent: why, and what to do. */
export function Unsent ({ problem, onAgain, onDiscard }: { problem: string, onAgain: () => void, onDiscard: () => void }) {
  return (
    <span className='unsent' role='alert'>
      <span className='problem'>{problem}</span>
      <button className='text-button' onClick={onAgain}>{words.tryAgain}</button>
      <button className='text-button' onClick={onDiscard}>{words.chat.discard}</button>
    </span>
  )
}
