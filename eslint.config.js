import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'

// A case of a table and the title of a test are one line each, however long.
const CASE_OR_TITLE = /^\s*(?:(?:t\.)?test\(|\[|\{|\.\.\.|['"`][^'"`]*['"`]: |[\w$]+: )/.source

export default [
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    rules: {
      '@stylistic/max-len': ['error', {
        code: 120, ignoreUrls: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true, ignorePattern: CASE_OR_TITLE
      }]
    }
  }
]
