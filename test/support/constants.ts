// What tests without an app need, too; importing an app takes a second.

export const silent = { debug () {}, info () {}, warn () {}, error () {} }

export const SECRET = 'a secret for tests, longer than 32 bytes'
export const API_KEY = 'a-key-for-tests-only'
