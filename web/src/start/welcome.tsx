import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { checks, Field, Form } from '../ui/form.js'
import { words } from '../words.js'
import { PhoneChat } from './phone-chat.js'
import { SignIn } from './sign-in.js'

/** The first screen: two ways in. */
export function Welcome () {
  const [phone, setPhone] = useState<string>()
  const wasLoggedOut = useQuery({ queryKey: ['was logged out'], queryFn: () => false, enabled: false }).data
  if (phone !== undefined) return <PhoneChat phone={phone} onLeave={() => setPhone(undefined)} />
  return (
    <main className='welcome'>
      <header className='hero'>
        <p className='brand'><span className='brand-mark' aria-hidden='true' />{words.name}</p>
        <h1>{words.start.title}</h1>
        <p>{words.start.subtitle}</p>
      </header>
      {wasLoggedOut && <p className='notice' role='status'>{words.loggedOut}</p>}
      <div className='ways'>
        <section className='card' aria-labelledby='by-phone'>
          <h2 id='by-phone'>{words.start.phoneTitle}</h2>
          <p>{words.start.phoneText}</p>
          <Form submit={words.start.startChat} checks={{ phone: checks.phone }} action={async ({ phone }) => setPhone(phone!.trim())}>
            <Field name='phone' type='tel' autoComplete='tel' label={words.start.phone} hint={words.start.phoneHint} />
          </Form>
        </section>
        <SignIn />
      </div>
    </main>
  )
}
