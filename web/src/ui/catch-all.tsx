import { Component, type ReactNode } from 'react'
import { words } from '../words.ts'

/** Shows a message if rendering the page throws an error. A class, since React has no error boundaries as functions. */
export class CatchAll extends Component<{ children: ReactNode }, { isBroken: boolean }> {
  override state = { isBroken: false }

  static getDerivedStateFromError () {
    return { isBroken: true }
  }

  override render () {
    if (!this.state.isBroken) return this.props.children
    return (
      <main className='welcome narrow'>
        <section className='card'>
          <p role='alert'>{words.broken}</p>
          <button className='button primary' onClick={() => window.location.reload()}>{words.reload}</button>
        </section>
      </main>
    )
  }
}
