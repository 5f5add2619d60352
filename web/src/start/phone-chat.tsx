import { useState } from 'react'
import { api, ask, newClientId } from '../api/client.js'
import { Bubble } from '../ui/bubble.js'
import { Composer } from '../ui/composer.js'
import { Icon } from '../ui/icon.js'
import { Scroller } from '../ui/scroller.js'
import { Unsent } from '../ui/unsent.js'
import { words } from '../words.js'

/** A message with its answer, as soon as there is one. Sent again, it is the same one. */
interface Exchange { clientId: string, text: string, at: string, answer?: { text: string, at: string }, problem?: string }

/** The guided chat: the number alone says whose it is. */
export function PhoneChat ({ phone, onLeave }: { phone: string, onLeave: () => void }) {
  const [exchanges, setExchanges] = useState<Exchange[]>([])

  async function deliver (exchange: Exchange) {
    const { clientId, text } = exchange
    const change = (next: Partial<Exchange>) => setExchanges(known => known.map(other => other.clientId === clientId ? { ...other, ...next } : other))
    change({ problem: undefined })
    try {
      const body = { user_phone: phone, user_message: text, client_id: clientId }
      // The route takes two kinds of bodies, told apart in a way that these types have no words for.
      const answer = await ask(api.POST('/chat', { body: body as never }))
      if ('bot_message' in answer) change({ answer: { text: answer.bot_message, at: new Date().toISOString() } })
    } catch (error) {
      change({ problem: (error as Error).message })
    }
  }

  function send (text: string) {
    const exchange = { clientId: newClientId(), text, at: new Date().toISOString() }
    setExchanges(known => [...known, exchange])
    deliver(exchange)
  }

  const last = exchanges.at(-1)
  return (
    <main className='chat phone-chat'>
      <header className='chat-head'>
        <button className='icon-button' aria-label={words.phone.leave} title={words.phone.leave} onClick={onLeave}><Icon name='back' /></button>
        <h1>{words.phone.title(phone)}</h1>
      </header>
      <Scroller label={words.phone.title(phone)}>
        {exchanges.length === 0 && <p className='empty'>{words.phone.intro}</p>}
        {exchanges.map(exchange => (
          <div key={exchange.clientId} className='exchange'>
            <Bubble
              who={words.chat.you} at={exchange.at} isMine
              note={exchange.problem !== undefined && (
                <Unsent
                  problem={exchange.problem} onAgain={() => deliver(exchange)}
                  onDiscard={() => setExchanges(known => known.filter(other => other !== exchange))}
                />
              )}
            ><p className='plain'>{exchange.text}</p>
            </Bubble>
            {exchange.answer !== undefined && <Bubble who={words.phone.bot} at={exchange.answer.at} isMine={false} isBot><p className='plain'>{exchange.answer.text}</p></Bubble>}
          </div>
        ))}
      </Scroller>
      <p className='visually-hidden' role='status'>{last?.answer !== undefined && words.chat.said(words.phone.bot, last.answer.text)}</p>
      <Composer onSend={send} />
    </main>
  )
}
