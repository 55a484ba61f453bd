/**
 * What is mutated, and which tests have to notice. A source is a file or a folder; a test is a path in `test`, without
 * `.test.ts`. The first tests are the likeliest to fail, since a mutant is dead at its first failure.
 * @type {Readonly<Record<string, { sources: string[], tests: string[] }>>}
 */
export const subjects = {
  coverage: {
    sources: ['lib/coverage', 'lib/registration.ts'],
    tests: [
      'coverage/possible-paths', 'coverage/prefix', 'coverage/cross-origin', 'coverage/registry', 'coverage/route',
      'optional', 'options', 'coverage/start-log', 'guard', 'application/teams', 'application/swagger',
      'application/autoload', 'application/fuzz', 'policy/policy'
    ]
  },
  guard: {
    sources: [
      'lib/guard.ts', 'lib/admission.ts', 'lib/optional.ts', 'lib/reject.ts', 'lib/rejection-patterns.ts',
      'lib/hints.ts'
    ],
    tests: [
      'guard', 'optional', 'reject', 'rejection-patterns', 'log-identity', 'coverage/cross-origin', 'coverage/route',
      'application/sockets', 'application/upgrades', 'token/token-verifier', 'coverage/registry', 'policy/policy',
      'access/login', 'channels', 'application/neighbours', 'application/swagger'
    ]
  },
  token: {
    sources: [
      'lib/token', 'lib/util/token-map.ts', 'lib/util/freeze.ts', 'lib/util/flat-copy.ts', 'lib/util/loggable.ts'
    ],
    tests: [
      'token/token-verifier', 'token/jws', 'token/check-claims', 'token/audience', 'application/teams', 'util/freeze',
      'token/cache', 'identity/details', 'channels', 'application/floods', 'keys/key-set', 'reject', 'sign-out',
      'identity/session-end', 'identity/shared-store'
    ]
  },
  keys: {
    sources: ['lib/keys', 'lib/util/backoff.ts'],
    tests: [
      'keys/key-set', 'keys/jwks', 'application/closing', 'application/floods', 'application/teams', 'token/cache',
      'channels', 'reject', 'identity/details'
    ]
  },
  identity: {
    sources: ['lib/identity', 'lib/util/task-queue.ts'],
    tests: [
      'identity/details', 'token/check-claims', 'policy/policy', 'policy/details-selectors', 'token/cache',
      'application/closing', 'channels', 'identity/session-end', 'identity/shared-store', 'sign-out', 'dev/options',
      'optional'
    ]
  },
  policy: {
    sources: ['lib/policy'],
    tests: [
      'policy/policy', 'policy/details-selectors', 'policy/selectors', 'identity/details', 'options', 'reject'
    ]
  }
}
