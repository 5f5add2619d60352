/** Enough for one line of the list. Longer texts are cut first, since a reply may have 100,000 characters. */
export const MOST_CHARACTERS = 500

/** The first words of a Markdown text without its marks, for one line in a list. */
export function previewOf (markdown: string) {
  return markdown.slice(0, MOST_CHARACTERS)
    .replace(/^ *(```|~~~).*$/gm, '')
    .replace(/^[ :|-]+$/gm, '')
    .replace(/^ {0,3}(#{1,6} |> ?|[-*+] (\[[ x]\] )?)+/gim, '')
    .replace(/!?\[([^[\]\n]*)\]\([^)\n]*\)/g, '$1')
    .replace(/\*\*|__|~~|`/g, '')
    .replace(/(?<![\p{L}\p{N}\\])([*_])(?=\S)(.+?)(?<=\S)\1(?![\p{L}\p{N}])/gu, '$2')
    .replace(/\|/g, ' ')
    .replace(/\\([!-/:-@[-`{-~])/g, '$1')
    .replace(/\s+/g, ' ')
    .trim()
}
