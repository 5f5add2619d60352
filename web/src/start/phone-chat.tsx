import { useEffect, useRef, useState } from 'react'
import { newClientId, ParleyError } from 'parley'
import { readPhoneNumber } from '../../../src/text/phone-number.ts'
import { inWords } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { go, pathTo } from '../route.ts'
import { Bubble } from '../ui/bubble.tsx'
import { Composer } from '../ui/composer.tsx'
import { draftOfPhone, keepDraft, readDraft } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { Scroller } from '../ui/scroller.tsx'
import { Unsent } from '../ui/unsent.tsx'
import { words } from '../words.ts'

/** The longest message of the guided chat, in code points. */
const MOST_CODE_POINTS = 8_000

/** Why a message was not sent, in words, and whether that is because the server could not be reached. */
interface Problem { text: string, isUnreachable: boolean }

/** A message with the bot's answer, once there is one. `clientId` stays the same on a retry, so that it is stored once. */
interface Exchange { clientId: string, text: string, at: string, answer?: { text: string, at: string }, problem?: Problem | undefined }

/**
 * The guided chat. It needs no account, so the API does not give its history to anyone who types a number. The messages
 * are therefore kept in this tab, and survive a reload but not the tab.
 */
export function PhoneChat ({ phone }: { phone: string }) {
  const number = readPhoneNumber(phone)
  const draft = draftOfPhone(number.reason === undefined ? number.digits : phone)
  const history = `${draft} messages`
  const [exchanges, setExchanges] = useState<Exchange[]>(() => JSON.parse(readDraft(history) || '[]'))
  useEffect(() => keepDraft(history, exchanges.length === 0 ? '' : JSON.stringify(exchanges)), [history, exchanges])
  useEffect(() => { document.title = `${words.phone.title(phone)} – ${words.name}` }, [phone])

  function change (clientId: string, next: Partial<Exchange>) {
    setExchanges(known => known.map(other => other.clientId === clientId ? { ...other, ...next } : other))
  }

  const unsent = useRef<Exchange[]>([])
  function deliver (exchange: Exchange) {
    change(exchange.clientId, { problem: undefined })
    unsent.current.push(exchange)
    if (unsent.current.length === 1) deliverAll()
  }

  /**
   * Sends messages one after the other: requests that are under way at the same time may arrive in another order. The messages behind one
   * that could not be sent are not sent either, because the bot would take them for answers to other questions.
   */
  async function deliverAll () {
    while (unsent.current.length > 0) {
      const problem = await post(unsent.current[0]!)
      if (problem === undefined) unsent.current.shift()
      else for (const { clientId } of unsent.current.splice(0)) change(clientId, { problem })
    }
  }

  async function post ({ clientId, text }: Exchange): Promise<Problem | undefined> {
    try {
      const body = { user_phone: phone, user_message: text, client_id: clientId }
      // The route accepts several kinds of bodies and has as many answers, one of them a stream. The generated types cannot tell them apart.
      const answer = await parley.request('post', '/chat', { body: body as never })
      if (typeof answer === 'object' && 'bot_message' in answer) change(clientId, { answer: { text: answer.bot_message, at: new Date().toISOString() } })
      return undefined
    } catch (error) {
      return { text: inWords(error as Error), isUnreachable: error instanceof ParleyError && error.code === 'UNREACHABLE' }
    }
  }

  // A reload may have interrupted requests, and the page may have noticed that as a lost connection. The same client id makes sending again safe.
  useEffect(() => {
    for (const exchange of exchanges) if (exchange.answer === undefined && exchange.problem?.isUnreachable !== false) deliver(exchange)
  }, [])

  function send (text: string) {
    const exchange = { clientId: newClientId(), text, at: new Date().toISOString() }
    setExchanges(known => [...known, exchange])
    deliver(exchange)
  }

  function leave () {
    keepDraft(draft, '')
    keepDraft(history, '')
    go(pathTo.home)
  }

  const last = exchanges.at(-1)
  return (
    <main className='chat phone-chat'>
      <header className='chat-head'>
        <button className='icon-button' aria-label={words.phone.leave} title={words.phone.leave} onClick={leave}><Icon name='back' /></button>
        <h1 className='cut'>{words.phone.title(phone)}</h1>
      </header>
      <Scroller label={words.phone.title(phone)} sent={exchanges.length}>
        {exchanges.length === 0 && <p className='empty'>{words.phone.intro}</p>}
        {exchanges.map(exchange => (
          <div key={exchange.clientId} className='exchange'>
            <Bubble
              who={words.chat.you} at={exchange.at} isMine
              note={exchange.problem !== undefined && (
                <Unsent
                  problem={exchange.problem.text} onAgain={() => deliver(exchange)}
                  onDiscard={() => setExchanges(known => known.filter(other => other !== exchange))}
                />
              )}
            ><p className='plain' dir='auto'>{exchange.text}</p>
            </Bubble>
            {exchange.answer !== undefined && <Bubble who={words.phone.bot} at={exchange.answer.at} isMine={false} isBot><p className='plain' dir='auto'>{exchange.answer.text}</p></Bubble>}
          </div>
        ))}
      </Scroller>
      <p className='visually-hidden' role='status'>{last?.answer !== undefined && words.chat.announced(words.phone.bot, last.answer.text)}</p>
      <Composer draft={draft} onSend={send} most={MOST_CODE_POINTS} />
    </main>
  )
}
