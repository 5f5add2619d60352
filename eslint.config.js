import neostandard, { plugins } from 'neostandard'
import regexp from 'eslint-plugin-regexp'

export default [
  ...neostandard({ ts: true, ignores: ['.node', 'dist', 'drizzle', 'data', '.tap', 'coverage', 'client/types.ts'] }),
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
    // A regular expression takes linear time, whatever it is matched against: the server has one thread for everybody.
    // The plugin reads regular expressions, not strings, so the pattern of a schema is written as one.
    files: ['{src,client,web}/**/*.{ts,tsx}'],
    plugins: { regexp },
    rules: {
      'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
      'regexp/no-super-linear-move': ['error', { report: 'potential' }],
      'no-restricted-syntax': ['error', {
        selector: "Property[key.name='pattern'] > :matches(Literal, TemplateLiteral).value",
        message: 'Please write the pattern as a regular expression, /…/.source, so that the linter sees it.'
      }]
    }
  },
  {
    // These patterns are matched against the operator's own settings only, once, at the start.
    files: ['src/config.ts'],
    rules: { 'no-restricted-syntax': 'off' }
  },
  {
    // Settings come from config.ts. The programs that we start inherit the environment, which is not to read it.
    files: ['src/**/*.ts'],
    ignores: ['src/config.ts', 'src/db/embedded/cluster.ts', 'src/db/backup.ts'],
    plugins: { n: plugins.n },
    rules: { 'n/no-process-env': 'error' }
  },
  {
    // How long something takes depends on the machine and on what else it does.
    files: ['test/**/*.ts'],
    ignores: ['test/support/prompt.ts'],
    rules: {
      'no-restricted-syntax': ['error', {
        selector: "BinaryExpression[operator=/^<=?$/][left.operator='-'][left.left.callee.property.name='now'][left.right.type='Identifier']",
        message: 'Please measure speed in bench/, and use isPrompt() of test/support/prompt.ts to find what waits for a timeout.'
      }]
    }
  }
]
