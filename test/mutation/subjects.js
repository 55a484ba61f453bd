/**
 * What is mutated, and which tests have to notice. A source is a file or a folder; a test is the name of a file anywhere
 * in `test`, without `.test.ts`. The first tests are the likeliest to fail, since a mutant is dead at its first failure.
 * @type {Readonly<Record<string, { sources: string[], tests: string[] }>>}
 */
export const subjects = {
  coverage: {
    sources: ['lib/coverage', 'lib/registration.ts'],
    tests: ['coverage', 'route', 'options', 'start-log', 'guard', 'swagger', 'autoload', 'fuzz', 'walk-round']
  },
  guard: {
    sources: ['lib/guard.ts', 'lib/reject.ts'],
    tests: ['guard', 'refusals', 'route', 'upgrades', 'token', 'coverage', 'policy', 'login', 'channels', 'neighbours', 'swagger']
  },
  token: {
    sources: ['lib/token.ts', 'lib/jws.ts', 'lib/claims.ts', 'lib/verifier.ts', 'lib/token-cache.ts', 'lib/token-map.ts', 'lib/freeze.ts',
      'lib/flat-copy.ts'],
    tests: ['token', 'jws', 'claims', 'freeze', 'token-cache', 'details', 'channels', 'floods', 'key-set']
  },
  keys: {
    sources: ['lib/key-set.ts', 'lib/jwks.ts', 'lib/backoff.ts'],
    tests: ['key-set', 'jwks', 'closing', 'floods', 'token-cache', 'channels', 'refusals']
  },
  identity: {
    sources: ['lib/identity.ts', 'lib/details.ts', 'lib/identity-endpoint.ts', 'lib/task-queue.ts'],
    tests: ['details', 'claims', 'policy', 'token-cache', 'closing', 'channels']
  },
  policy: {
    sources: ['lib/policy.ts', 'lib/selectors.ts', 'lib/comparable.ts'],
    tests: ['policy', 'selectors', 'details', 'options', 'refusals']
  }
}
