import { Component, type ReactNode } from 'react'
import { words } from '../words.js'

/** Shows a sentence where the page itself broke. A class, since React has no other form for it. */
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
