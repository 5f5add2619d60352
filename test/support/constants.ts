// Constants for tests that need no app. They are not in helper.ts, since importing the app takes a second.

export const silent = { debug () {}, info () {}, warn () {}, error () {} }

export const SECRET = 'a secret for tests, longer than 32 bytes'
export const API_KEY = 'a-key-for-tests-only'
