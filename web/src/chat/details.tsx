import { useState, type ReactNode } from 'react'
import { useMutation } from '@tanstack/react-query'
import { api, ask } from '../api/client.js'
import type { Conversation, Profile } from '../api/shapes.js'
import { queries, refreshConversations, useBots, useMembers } from '../api/queries.js'
import { go, pathTo } from '../route.js'
import { Dialog } from '../ui/dialog.js'
import { checks, Field, Form } from '../ui/form.js'
import { Icon } from '../ui/icon.js'
import { words } from '../words.js'

/** Its name, who is in it, and how to be rid of it. What only the owner may do, only the owner is offered. */
export function Details ({ conversation: { id, name }, me, onClose }: { conversation: Conversation, me: Profile, onClose: () => void }) {
  const { data: members, error } = useMembers(id)
  const { data: bots = [] } = useBots()
  const path = { id }
  const refresh = () => queries.invalidateQueries({ queryKey: ['members', id] })
  const change = useMutation({ mutationFn: (work: () => Promise<unknown>) => work(), onSettled: refresh })
  const isOwner = members?.users.some(({ id, is_owner: owns }) => owns && id === me.id) ?? false
  const absent = bots.filter(bot => !members?.bots.some(({ id }) => id === bot.id))

  async function rename ({ name }: Record<string, string>) {
    await ask(api.PUT('/api/conversations/{id}', { params: { path }, body: { name: name! } }))
    refreshConversations()
    queries.invalidateQueries({ queryKey: ['conversation', id] })
  }
  async function goAway (call: Promise<unknown>) {
    await call
    onClose()
    go(pathTo.home)
    refreshConversations()
  }

  return (
    <Dialog title={words.details.title} onClose={onClose}>
      <Form className='in-line' submit={words.save} done={words.saved} checks={{ name: checks.required }} action={rename}>
        <Field name='name' label={words.details.name} defaultValue={name} maxLength={200} />
      </Form>

      <section>
        <h3>{words.details.people}</h3>
        {(error ?? change.error) !== null && <p className='problem' role='alert'>{(error ?? change.error)!.message}</p>}
        <ul className='rows'>
          {members?.users.map(({ id: user, username, is_owner: owns }) => (
            <Row key={user} name={username} note={owns ? words.details.owner : undefined}>
              {isOwner && user !== me.id && <TakeOut name={username} onClick={() => change.mutate(() => ask(api.DELETE('/api/conversations/{id}/users/{user}', { params: { path: { id, user } } })))} />}
            </Row>
          ))}
        </ul>
        {isOwner && (
          <Form
            className='in-line' submit={words.details.add} checks={{ username: checks.required }} clears={['username']}
            action={async ({ username }) => {
              await ask(api.POST('/api/conversations/{id}/users', { params: { path }, body: { username: username! } }))
              await refresh()
            }}
          >
            <Field name='username' label={words.details.invite} hint={words.details.inviteHint} autoComplete='off' autoCapitalize='none' spellCheck={false} />
          </Form>
        )}
      </section>

      <section>
        <h3>{words.details.bots}</h3>
        {members?.bots.length === 0 && <p className='hint'>{words.details.noBot}</p>}
        <ul className='rows'>
          {members?.bots.map(({ id: bot, name }) => (
            <Row key={bot} name={name}>
              {isOwner && <TakeOut name={name} onClick={() => change.mutate(() => ask(api.DELETE('/api/conversations/{id}/bots/{bot}', { params: { path: { id, bot } } })))} />}
            </Row>
          ))}
        </ul>
        {(members?.bots.length ?? 0) > 1 && <p className='hint'>{words.details.several}</p>}
        {isOwner && absent.length > 0 && (
          <label className='field'>
            {words.details.addBot}
            <select value='' onChange={({ target: { value: name } }) => change.mutate(() => ask(api.POST('/api/conversations/{id}/bots', { params: { path }, body: { name } })))}>
              <option value='' disabled>{words.details.chooseBot}</option>
              {absent.map(({ id, name }) => <option key={id}>{name}</option>)}
            </select>
          </label>
        )}
      </section>

      {members !== undefined && (
        isOwner
          ? (
            <Sure question={words.details.delete} text={words.details.deleteText}>
              <Form submit={words.details.deleteNow} isDanger action={() => goAway(ask(api.DELETE('/api/conversations/{id}', { params: { path } })))}>{null}</Form>
            </Sure>
            )
          : (
            <Sure question={words.details.leave} text={words.details.leaveText}>
              <Form submit={words.details.leaveNow} isDanger action={() => goAway(ask(api.DELETE('/api/conversations/{id}/users/{user}', { params: { path: { id, user: me.id } } })))}>{null}</Form>
            </Sure>
            )
      )}
    </Dialog>
  )
}

function Row ({ name, note, children }: { name: string, note?: string | undefined, children?: ReactNode }) {
  return <li><span className='cut'>{name}</span>{note !== undefined && <span className='badge'>{note}</span>}{children}</li>
}

function TakeOut ({ name, onClick }: { name: string, onClick: () => void }) {
  return <button className='icon-button small' aria-label={words.details.remove(name)} onClick={onClick}><Icon name='close' /></button>
}

/** What cannot be undone is asked for twice. */
function Sure ({ question, text, children }: { question: string, text: string, children: ReactNode }) {
  const [isAsked, setIsAsked] = useState(false)
  return (
    <section className='sure'>
      {!isAsked && <button className='button danger-quiet' onClick={() => setIsAsked(true)}>{question}</button>}
      {isAsked && <><p>{text}</p>{children}</>}
    </section>
  )
}
