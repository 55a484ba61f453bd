// The pure property: what a reader takes for the prefix is ambiguous, or a possible path of it is covered.
import { findReader, scopedStartsOf, startsOf, under } from './readers.js'

/**
 * @typedef {object} Subject
 * @property {(target: string) => ReadonlySet<string> | null} possiblePaths
 * @property {(prefix: string) => { covers: (path: string) => boolean }} prefixOf
 */

/** @typedef {import('./readers.js').Landing} Landing */

const TENANTS = [
  '/acme', '/ac%2Fme', '/%61cme', '/a%20c', '/acme;x', '/a:b', '/a%5cb', '/a%3fb', '/%2f', '/a%252fb', '/admin'
]

/** A registration's prefix as Fastify knows it, what is sent before the target, and where readers land. */
const SCOPES = [
  { prefix: '/admin', before: [''], isLanding: under('/admin'), isScoped: false },
  { prefix: '/:tenant/admin', before: TENANTS, isLanding: isBelowTenant, isScoped: true },
  { prefix: '/v1::beta/admin', before: ['/v1:beta'], isLanding: under('/v1:beta/admin'), isScoped: true },
  // Below the outer one of two registrations, so that the inner one's users do not count.
  { prefix: '/admin', except: '/admin/x', before: [''], isLanding: isOfOuter, isScoped: false }
]

/** @type {Landing} */
function isBelowTenant (text) {
  return /^\/[^/]+\/admin(?:\/|$)/.test(text)
}

/** @type {Landing} */
function isOfOuter (text) {
  const path = text.toLowerCase() // a prefix guards its path in any case
  return under('/admin')(path) && !under('/admin/x')(path)
}

const isAdmin = under('/admin')

/** @param {Subject} subject */
export function createPureCheck ({ possiblePaths, prefixOf }) {
  const scopes = SCOPES.map(({ except, ...scope }) => {
    const outer = prefixOf(scope.prefix)
    const inner = except === undefined ? null : prefixOf(except)
    const covers = (/** @type {string} */ path) => outer.covers(path) && !inner?.covers(path)
    return { ...scope, covers }
  })

  /**
   * Whether a registration has to admit the request.
   *
   * @param {string} target
   * @param {(path: string) => boolean} covers
   */
  function isGuarded (target, covers) {
    const paths = possiblePaths(target)
    if (paths === null) return true
    for (const path of paths) if (covers(path)) return true
    return false
  }

  /**
   * @param {string} target
   * @param {number} choice which of the scopes, 0 for a prefix at the root, and what is sent before the target
   */
  return function check (target, choice = 0) {
    const scope = /** @type {typeof scopes[number]} */ (scopes[choice % scopes.length])
    const before = /** @type {string} */ (scope.before[choice % scope.before.length])
    const sent = before === '' || target.startsWith('/') ? before + target : `${before}/${target}`
    return {
      sent,
      isGuarded: () => isGuarded(sent, scope.covers),
      findReader: () => findReader(startsOf(sent), scope.isLanding) ??
        (scope.isScoped ? findReader(scopedStartsOf(sent), isAdmin) : null)
    }
  }
}

/**
 * The shortest target that still leaks, by leaving out what can be left out.
 *
 * @param {string} target
 * @param {(target: string) => boolean} leaks
 */
export function shrink (target, leaks) {
  for (let size = Math.ceil(target.length / 2); size > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at + size <= target.length;) {
      const shorter = target.slice(0, at) + target.slice(at + size)
      if (/^(?:\/|[a-z]+:\/\/)/i.test(shorter) && leaks(shorter)) target = shorter
      else at++
    }
  }
  return target
}
