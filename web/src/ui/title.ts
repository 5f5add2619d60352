import { words } from '../words.ts'

// The title of the browser's tab: what is open, and in how many conversations something is unread.

let open = words.name
let unread = 0

const show = () => { document.title = words.unread(unread, open) }

export function setTitle (title: string) {
  open = title
  show()
}

export function setUnread (count: number) {
  unread = count
  show()
}
