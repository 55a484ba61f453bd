/** Prefixes and route patterns, compared with a path segment by segment: `/administrator` is not under `/admin`. */
import { normalizeSegment } from './normal-form.js'

/** A path and everything below it. */
export interface Prefix {
  /** In normal form. */
  readonly path: string
  /** How many segments it has. */
  readonly depth: number
  /** Whether a path in normal form is at or under the prefix. */
  covers (path: string): boolean
  /** Whether some request for a route with this pattern is at or under the prefix. */
  canCover (pattern: string): boolean
}

/** A segment of a pattern. In one with a parameter or a wildcard, `text` is the literal text in front of it. */
interface Segment {
  readonly kind: 'literal' | 'parameter' | 'wildcard'
  readonly text: string
}

/** @param text a path; a scope's prefix can contain parameters, each of which matches any one segment */
export function prefixOf (text: string): Prefix {
  const segments = segmentsOf(text)
  const path = `/${segments.map(segment => segment.text).join('/')}`
  const below = path === '/' ? path : `${path}/`
  const covers = isLiteral(text)
    ? (candidate: string) => candidate === path || candidate.startsWith(below)
    : (candidate: string) => startsWith(namesOf(candidate), segments)
  return { path, depth: segments.length, covers, canCover: pattern => canMeet(segmentsOf(pattern), segments) }
}

/**
 * Decides which paths, in normal form, a route's pattern can match.
 * @see find-my-way docs: Supported path formats
 */
export function patternMatcher (pattern: string): (path: string) => boolean {
  const segments = segmentsOf(pattern)
  const last = segments.at(-1)
  // "/a/*" takes "/a/" as well, and "/a/:b?" takes "/a".
  const least = segments.length - (last?.kind === 'wildcard' && last.text === '' ? 1 : Number(pattern.endsWith('?')))
  const most = last?.kind === 'wildcard' ? Infinity : segments.length
  return path => {
    const names = namesOf(path)
    return names.length >= least && names.length <= most && startsWith(names, segments.slice(0, names.length))
  }
}

/** Fastify marks a parameter with a colon and a wildcard with an asterisk; a literal colon is written twice. */
export function isLiteral (pattern: string): boolean {
  return !/[:*]/.test(pattern.replaceAll('::', ''))
}

function startsWith (names: readonly string[], segments: readonly Segment[]): boolean {
  return segments.every(({ kind, text }, i) => kind === 'literal' ? names[i] === text : names[i]?.startsWith(text))
}

/** Whether one path can match the pattern's segments and start with the prefix's. */
function canMeet (pattern: readonly Segment[], prefix: readonly Segment[]): boolean {
  for (const [i, wanted] of prefix.entries()) {
    const segment = pattern[i]
    if (segment === undefined) return false
    if (segment.kind === 'wildcard') return true
    if (segment.kind === 'literal' && wanted.kind === 'literal' && segment.text !== wanted.text) return false
  }
  return true
}

function segmentsOf (pattern: string): Segment[] {
  // A parameter's regular expression can contain slashes.
  const plain = pattern.replace(/(:[^/()]*)\(.*?\)(?=[/:.?-]|$)/g, '$1')
  return plain.split('/').map(toSegment).filter(({ kind, text }) => kind !== 'literal' || text !== '')
}

function toSegment (segment: string): Segment {
  const head = /^(?:[^:*]|::)*/.exec(segment)![0]
  const text = normalizeSegment(head.replaceAll('::', ':'))
  if (head === segment) return { kind: 'literal', text }
  return { kind: segment[head.length] === '*' ? 'wildcard' : 'parameter', text }
}

function namesOf (path: string): string[] {
  return path.split('/').filter(name => name !== '')
}
