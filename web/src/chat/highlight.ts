import { common, createLowlight } from 'lowlight'

/** Highlighting blocks the page while it runs, and runs again for each part of a reply. Longer code stays plain. */
const MOST_CHARACTERS = 20_000

const { highlight, registered } = createLowlight(common)

/** A run of code and the CSS classes of its color. */
export interface Token { text: string, classes: string }

/** Splits code into colored runs; undefined if the language is unknown or the code too long. */
export function tokensOf (code: string, language: string): Token[] | undefined {
  if (code.length > MOST_CHARACTERS || !registered(language)) return undefined
  return flatten(highlight(language, code).children, '')
}

type Nodes = ReturnType<typeof highlight>['children']

function flatten (nodes: Nodes, classes: string): Token[] {
  return nodes.flatMap(node => {
    if (node.type === 'text') return [{ text: node.value, classes }]
    if (node.type !== 'element') return []
    const { className } = node.properties
    return flatten(node.children as Nodes, Array.isArray(className) ? className.join(' ') : classes)
  })
}
