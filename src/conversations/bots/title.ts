import type { BotRow, Directory } from '../../bots/bot.ts'

/** A bot in a list, as all users see it. */
export interface BotTitle {
  id: number
  name: string
  description: string | null
  streaming: boolean
  is_default: boolean
  is_ready: boolean
}

export type TitleOf = (row: BotRow) => BotTitle

/** Makes list entries of stored bots. The directory knows whether a bot streams and whether it is ready. */
export function createTitles (directory: Directory, defaultBot: string): TitleOf {
  return row => {
    const { id, name, settings: { description } } = row
    const { kind, isReady = true } = directory(row)
    return {
      id,
      name,
      description: typeof description === 'string' ? description : null,
      streaming: kind === 'streaming',
      is_default: name === defaultBot,
      is_ready: isReady
    }
  }
}
