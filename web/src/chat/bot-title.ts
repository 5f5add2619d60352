/**
 * A bot's name as people read it: "Favorite song" for `favorite-song`. Names with capitals, digits or other signs, such as
 * `gpt-4o` or `HelpDesk`, were chosen as they are and stay so.
 */
export function botTitle (name: string) {
  return /^[a-z]+([-_][a-z]+)*$/.test(name) ? name.charAt(0).toUpperCase() + name.slice(1).replace(/[-_]/g, ' ') : name
}
