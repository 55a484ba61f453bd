/** A path prefix, compared segment by segment: `/administrator` is not under `/admin`. */
import { fold } from './readings.js'

export interface Prefix {
  /** The prefix as it is compared. */
  readonly path: string
  /** How many segments it has. */
  readonly depth: number
  /** Whether a folded path is the prefix or below it. */
  covers (path: string): boolean
}

/** @param text a path; a scope's own prefix may bring parameters into it, which match any one segment */
export function prefixOf (text: string): Prefix {
  const segments = fold(text).split('/').filter(segment => segment !== '')
  const path = `/${segments.join('/')}`
  const below = path === '/' ? path : `${path}/`
  const covers = segments.every(isLiteral)
    ? (candidate: string) => candidate === path || candidate.startsWith(below)
    : (candidate: string) => isUnder(candidate.split('/').slice(1), segments)
  return { path, depth: segments.length, covers }
}

/** Fastify marks parameters with a colon and wildcards with an asterisk; a colon that is text is written twice. */
export function isLiteral (pattern: string): boolean {
  return !/[:*]/.test(pattern.replaceAll('::', ''))
}

function isUnder (path: readonly string[], prefix: readonly string[]): boolean {
  return path.length >= prefix.length &&
    prefix.every((segment, i) => !isLiteral(segment) || segment.replaceAll('::', ':') === path[i])
}
