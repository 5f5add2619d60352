import type { Test } from 'tap'

/** How much longer something may take in a test than on an idle machine. Tests run side by side, also on slow and busy machines. */
const ALLOWANCE = 5

/**
 * Checks that something which began at `began` (of `performance.now()`) was not held up, where it usually takes up to
 * `usual` ms. This is not how speed is measured (see bench/): it finds what waits for a timeout.
 */
export function isPrompt (t: Test, began: number, usual: number, what = 'done') {
  const took = Math.round(performance.now() - began)
  t.ok(took < ALLOWANCE * usual, `${what} after ${took} ms, usually within ${usual} ms`)
}
