import type { KeyboardEvent } from 'react'

/**
 * Whether a key belongs to an input method, such as the Enter that accepts a word in Japanese, and must not send or close
 * anything. Safari ends the composition before it reports that key, which then can only be told by its key code 229.
 * @see https://www.w3.org/TR/uievents/#determine-keydown-keyup-keyCode
 */
export function isComposing ({ nativeEvent }: KeyboardEvent) {
  return nativeEvent.isComposing || nativeEvent.keyCode === 229
}
