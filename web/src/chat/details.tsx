import { useState, type ReactNode } from 'react'
import { useMutation } from '@tanstack/react-query'
import type { Bot, Profile } from 'parley'
import { queries } from '../api/cache.ts'
import { inWords } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { useBots, useMembers } from '../api/queries.ts'
import { unlessGone } from '../api/unless-gone.ts'
import { go, pathTo } from '../route.ts'
import { Confirm, Dialog } from '../ui/dialog.tsx'
import { checks, Field, Form } from '../ui/form.tsx'
import { Icon } from '../ui/icon.tsx'
import { words } from '../words.ts'
import { botTitle } from './bot-title.ts'

/** A conversation's name and members. What only the owner may do is only shown to the owner. */
export function Details ({ id, name, me, onClose }: { id: number, name: string, me: Profile, onClose: () => void }) {
  const { data: members, error } = useMembers(id)
  const { data: bots = [] } = useBots()
  const [isConfirming, setIsConfirming] = useState(false)
  const path = { id }
  const refresh = () => queries.invalidateQueries({ queryKey: ['members', id] })
  const change = useMutation({ mutationFn: (work: () => Promise<unknown>) => work(), onSettled: refresh })
  const isOwner = members?.users.some(({ id, is_owner: owns }) => owns && id === me.id) ?? false
  const absent = bots.filter(bot => !members?.bots.some(({ id }) => id === bot.id))

  async function rename ({ name }: Record<string, string>) {
    await parley.request('put', '/api/conversations/{id}', { path, body: { name: name! } })
    queries.invalidateQueries({ queryKey: ['conversation', id] })
  }
  async function addUser ({ username }: Record<string, string>) {
    await parley.request('post', '/api/conversations/{id}/users', { path, body: { username: username! } })
    await refresh()
  }
  async function addBot ({ bot }: Record<string, string>) {
    await parley.request('post', '/api/conversations/{id}/bots', { path, body: { name: bot! } })
    await refresh()
  }
  const removeUser = (user: number) => parley.request('delete', '/api/conversations/{id}/users/{user}', { path: { id, user } })
  const removeBot = (bot: number) => parley.request('delete', '/api/conversations/{id}/bots/{bot}', { path: { id, bot } })

  async function leaveOrDelete () {
    await (isOwner ? parley.request('delete', '/api/conversations/{id}', { path }) : removeUser(me.id))
    onClose()
    go(pathTo.home)
  }
  const [question, title, text, submit] = isOwner
    ? [words.details.delete, words.details.deleteTitle, words.details.deleteText, words.delete] as const
    : [words.details.leave, words.details.leaveTitle, words.details.leaveText, words.details.leaveNow] as const

  return (
    <Dialog title={words.details.title} onClose={onClose}>
      <Form className='in-line' submit={words.save} done={words.saved} checks={{ name: checks.text }} action={rename}>
        <Field name='name' label={words.details.name} defaultValue={name} maxLength={200} />
      </Form>

      <section>
        <h3 tabIndex={-1} data-focus-fallback>{words.details.people}</h3>
        {(error ?? change.error) !== null && <p className='problem' role='alert'>{inWords((error ?? change.error)!)}</p>}
        <ul className='rows'>
          {members?.users.map(({ id: user, username, is_owner: owns }) => (
            <Row key={user} name={username ?? words.details.unnamed} note={owns ? words.details.owner : undefined}>
              {isOwner && user !== me.id && <RemoveButton name={username ?? words.details.unnamed} onClick={() => change.mutate(() => unlessGone('USER_NOT_FOUND', removeUser(user)))} />}
            </Row>
          ))}
        </ul>
        {isOwner && (
          <Form className='in-line' submit={words.details.add} checks={{ username: checks.required }} clears={['username']} action={addUser}>
            <Field name='username' label={words.details.invite} hint={words.details.inviteHint} autoComplete='off' autoCapitalize='none' spellCheck={false} />
          </Form>
        )}
      </section>

      <section>
        <h3 tabIndex={-1} data-focus-fallback>{words.details.bots}</h3>
        {members?.bots.length === 0 && <p className='hint'>{words.details.noBot}</p>}
        <ul className='rows'>
          {members?.bots.map(({ id: bot, name, is_ready: isReady }) => (
            <Row key={bot} name={botTitle(name)} note={isReady ? undefined : words.details.notReady}>
              {isOwner && <RemoveButton name={botTitle(name)} onClick={() => change.mutate(() => unlessGone('BOT_NOT_FOUND', removeBot(bot)))} />}
            </Row>
          ))}
        </ul>
        {(members?.bots.length ?? 0) > 1 && <p className='hint'>{words.details.several}</p>}
        {isOwner && absent.length > 0 && (
          <Form className='in-line' submit={words.details.add} checks={{ bot: checks.required }} action={addBot}>
            <Field name='bot' label={words.details.addBot}>
              <option value=''>{words.details.chooseBot}</option>
              {absent.map(bot => <option key={bot.id} value={bot.name} disabled={!bot.is_ready}>{optionFor(bot)}</option>)}
            </Field>
          </Form>
        )}
      </section>

      {members !== undefined && (
        <section className='last'>
          <button className='button danger-quiet' onClick={() => setIsConfirming(true)}>{question}</button>
          {isConfirming && <Confirm title={title} text={text} submit={submit} onConfirm={leaveOrDelete} onClose={() => setIsConfirming(false)} />}
        </section>
      )}
    </Dialog>
  )
}

/** A bot's name, and what it does. */
function optionFor ({ name, description, is_ready: isReady }: Bot) {
  return [botTitle(name), description, isReady ? null : words.details.notReady].filter(part => part !== null).join(' – ')
}

function Row ({ name, note, children }: { name: string, note?: string | undefined, children?: ReactNode }) {
  return <li><span className='cut' dir='auto'>{name}</span>{note !== undefined && <span className='badge'>{note}</span>}{children}</li>
}

function RemoveButton ({ name, onClick }: { name: string, onClick: () => void }) {
  return <button className='icon-button small' aria-label={words.details.remove(name)} title={words.details.remove(name)} onClick={onClick}><Icon name='close' /></button>
}
