import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { QueryClientProvider } from '@tanstack/react-query'
import { ParleyProvider } from 'parley/react'
import { queries } from './api/cache.ts'
import { parley } from './api/parley.ts'
import { App } from './app.tsx'
import { CatchAll } from './ui/catch-all.tsx'
import { keepFocus } from './ui/keep-focus.ts'
import './ui/style.css'

keepFocus()

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <CatchAll>
      <QueryClientProvider client={queries}>
        <ParleyProvider client={parley}><App /></ParleyProvider>
      </QueryClientProvider>
    </CatchAll>
  </StrictMode>
)
