import { useEffect, useRef, useState } from 'react'
import { useIsMutating, useMutation } from '@tanstack/react-query'
import { newClientId, type Profile } from 'parley'
import { inWords } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { useBots } from '../api/queries.ts'
import { go, pathTo } from '../route.ts'
import { Composer } from '../ui/composer.tsx'
import { draftOf, keepDraft, readDraft } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { words } from '../words.ts'
import { botTitle } from './bot-title.ts'
import { previewOf } from './preview.ts'

/** Which bot replies: the server's default, none, or one by name. */
type Choice = { kind: 'default' | 'nobody' } | { kind: 'bot', name: string }

const MOST_IN_NAME = 60

/** The user who sees this screen now. */
let shownTo: number | undefined

/** Creates a conversation with its first message, which also gives it its name. */
export function NewConversation ({ me }: { me: Profile }) {
  const { data: bots = [], isLoadingError, error, refetch } = useBots()
  const [chosen, choose] = useState<Choice>({ kind: 'default' })
  const draft = draftOf(me.id, 'new')
  const attempt = useAttempt(`${draft} attempt`)
  const mutationKey = ['begin a conversation', me.id]
  const begin = useMutation({
    mutationKey,
    async mutationFn (text: string) {
      const bots = chosen.kind === 'default' ? {} : { bots: chosen.kind === 'bot' ? [chosen.name] : [] }
      const conversation = { name: nameFor(text), ...bots }
      const sent = readDraft(draft)
      const chat = await parley.create({ ...conversation, client_id: attempt.clientIdFor(conversation) })
      attempt.hasSucceeded()
      chat.send(text)
      // What the user has written in the meantime goes along.
      const written = readDraft(draft)
      keepDraft(draftOf(me.id, chat.id), written.startsWith(sent) ? written.slice(sent.length).trimStart() : written)
      return chat.id
    },
    // Shows the conversation, unless the user has opened something else meanwhile.
    onSuccess: id => { if (shownTo === me.id) go(pathTo.conversation(id)) }
  })
  // Also one that was begun before the user left this screen and came back: the composer has its message again, which must not be sent twice.
  const isBeginning = useIsMutating({ mutationKey }) > 0
  useEffect(() => {
    shownTo = me.id
    return () => { shownTo = undefined }
  }, [me.id])
  const choices: Array<[string, Choice]> = [
    [words.chat.default, { kind: 'default' }],
    ...bots.filter(({ is_ready: isReady }) => isReady).map(({ name }): [string, Choice] => [botTitle(name), { kind: 'bot', name }]),
    [words.chat.nobody, { kind: 'nobody' }]
  ]
  const bot = bots.find(bot => chosen.kind === 'bot' ? bot.name === chosen.name : chosen.kind === 'default' && bot.is_default)
  return (
    <main className='chat new'>
      <header className='chat-head'>
        <a className='icon-button back' href={pathTo.home} aria-label={words.back} title={words.back}><Icon name='back' /></a>
        <h1>{words.chat.new}</h1>
      </header>
      <div className='new-body'>
        <h2>{words.chat.newTitle}</h2>
        <fieldset className='chips'>
          <legend>{words.chat.whoAnswers}</legend>
          {choices.map(([label, choice]) => (
            <label key={label} className='chip'>
              <input type='radio' name='bot' checked={isSame(choice, chosen)} onChange={() => choose(choice)} />
              <span dir='auto'>{label}</span>
            </label>
          ))}
        </fieldset>
        {isLoadingError && <p className='problem' role='alert'>{inWords(error)} <button className='text-button' onClick={() => refetch()}>{words.tryAgain}</button></p>}
        {bot !== undefined && <p className='hint'>{[botTitle(bot.name), bot.description].filter(Boolean).join(' – ')}</p>}
        {begin.error !== null && <p className='problem' role='alert'>{inWords(begin.error)}</p>}
      </div>
      <Composer draft={draft} onSend={begin.mutateAsync} isDisabled={isBeginning} />
    </main>
  )
}

/**
 * Gives an attempt to create a conversation the same client id until it has succeeded. Without it, a retry would create the
 * conversation a second time if only the answer to the first attempt was lost. It is kept like a draft, for retries after a reload.
 */
function useAttempt (draft: string) {
  const last = useRef<{ clientId: string, at: string }>(undefined)
  return {
    clientIdFor (conversation: object) {
      const at = JSON.stringify(conversation)
      last.current ??= JSON.parse(readDraft(draft) || '{}')
      if (last.current!.at !== at) last.current = { clientId: newClientId(), at }
      keepDraft(draft, JSON.stringify(last.current))
      return last.current!.clientId
    },
    hasSucceeded () {
      last.current = undefined
      keepDraft(draft, '')
    }
  }
}

function isSame (one: Choice, other: Choice) {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** The first line of the message without Markdown's marks, shortened to fit into the list. */
function nameFor (text: string) {
  const [first] = text.trim().split('\n', 1)
  const line = previewOf(first!) || first!
  const characters = [...line]
  return characters.length <= MOST_IN_NAME ? line : `${characters.slice(0, MOST_IN_NAME - 1).join('').trimEnd()}…`
}
