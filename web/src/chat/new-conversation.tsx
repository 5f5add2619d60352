import { useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import { api, ask } from '../api/client.js'
import { refreshConversations, useBots } from '../api/queries.js'
import { go, pathTo } from '../route.js'
import { Composer } from '../ui/composer.js'
import { Icon } from '../ui/icon.js'
import { words } from '../words.js'
import { keepFirstMessage } from './first-message.js'

/** Who answers: the bot that the server thinks of, nobody, or one by name. */
type Answerer = { kind: 'usual' | 'nobody' } | { kind: 'bot', name: string }

const MOST_IN_NAME = 60

/** A conversation begins with its first message, which it is named by until somebody finds a better name. */
export function NewConversation () {
  const { data: bots = [] } = useBots()
  const [answerer, setAnswerer] = useState<Answerer>({ kind: 'usual' })
  const begin = useMutation({
    async mutationFn (text: string) {
      const bots = answerer.kind === 'usual' ? {} : { bots: answerer.kind === 'bot' ? [answerer.name] : [] }
      const { id } = await ask(api.POST('/api/conversations', { body: { name: nameFor(text), ...bots } }))
      keepFirstMessage(id, text)
      refreshConversations()
      go(pathTo.conversation(id))
    }
  })
  const choices: Array<[string, Answerer]> = [
    [words.chat.usual, { kind: 'usual' }],
    ...bots.map(({ name }): [string, Answerer] => [name, { kind: 'bot', name }]),
    [words.chat.nobody, { kind: 'nobody' }]
  ]
  return (
    <main className='chat new'>
      <header className='chat-head'>
        <a className='icon-button back' href={pathTo.home} aria-label={words.back}><Icon name='back' /></a>
        <h1>{words.chat.new}</h1>
      </header>
      <div className='new-body'>
        <h2>{words.chat.newTitle}</h2>
        <fieldset className='chips'>
          <legend>{words.chat.whoAnswers}</legend>
          {choices.map(([label, choice]) => (
            <label key={label} className='chip'>
              <input type='radio' name='answerer' checked={isSame(choice, answerer)} onChange={() => setAnswerer(choice)} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        {begin.error !== null && <p className='problem' role='alert'>{begin.error.message}</p>}
      </div>
      <Composer onSend={begin.mutateAsync} isDisabled={begin.isPending} />
    </main>
  )
}

function isSame (one: Answerer, other: Answerer) {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** The first line, at a length that fits into a list. */
function nameFor (text: string) {
  const line = text.split('\n', 1)[0]!
  const characters = [...line]
  return characters.length <= MOST_IN_NAME ? line : `${characters.slice(0, MOST_IN_NAME - 1).join('').trimEnd()}…`
}
