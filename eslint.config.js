import neostandard, { plugins } from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist', 'drizzle', 'data', '.tap', 'coverage', 'web/src/api/types.ts'] }),
  {
    // Routes stand first in a file, as its table of contents; handlers and schemas are hoisted below.
    // Names on the wire and in SQL are in snake_case.
    rules: { 'no-use-before-define': 'off', '@typescript-eslint/no-use-before-define': 'off', camelcase: 'off' }
  },
  {
    // A function that is handed on is named for what it does.
    files: ['{web,docs}/**/*.tsx'],
    rules: { 'react/jsx-handler-names': 'off' }
  },
  {
    // Settings come from config.ts. The programs that we start inherit the environment, which is not to read it.
    files: ['src/**/*.ts'],
    ignores: ['src/config.ts', 'src/db/embedded/cluster.ts', 'src/db/backup.ts'],
    plugins: { n: plugins.n },
    rules: { 'n/no-process-env': 'error' }
  }
]
