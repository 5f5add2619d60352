import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { QueryClientProvider } from '@tanstack/react-query'
import { queries } from './api/queries.ts'
import { App } from './app.tsx'
import { CatchAll } from './ui/catch-all.tsx'
import { keepFocus } from './ui/keep-focus.ts'
import './ui/style.css'

keepFocus()

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <CatchAll>
      <QueryClientProvider client={queries}>
        <App />
      </QueryClientProvider>
    </CatchAll>
  </StrictMode>
)
