import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist', 'drizzle', 'data', '.tap', 'coverage'] }),
  {
    // Routes stand first in a file, as its table of contents; handlers and schemas are hoisted below.
    // Names on the wire and in SQL are in snake_case.
    rules: { 'no-use-before-define': 'off', '@typescript-eslint/no-use-before-define': 'off', camelcase: 'off' }
  }
]
