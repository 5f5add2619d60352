import { createClient } from 'http://localhost:5000/client.js'

const parley = createClient()
await parley.signIn({ username: 'ann', password: 'correct horse' })
const chat = await parley.create({ name: 'Plans' })

chat.follow(({ messages }) => {
  document.body.innerText = messages.map(({ username, text }) => `${username}: ${text}`).join('\n')
})
await chat.send('Hello!')
