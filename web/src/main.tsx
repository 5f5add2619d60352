import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { QueryClientProvider } from '@tanstack/react-query'
import { queries } from './api/queries.js'
import { App } from './app.js'
import { CatchAll } from './ui/catch-all.js'
import './ui/style.css'

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <CatchAll>
      <QueryClientProvider client={queries}>
        <App />
      </QueryClientProvider>
    </CatchAll>
  </StrictMode>
)
