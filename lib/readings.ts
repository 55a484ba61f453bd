/**
 * Every path that a request target could be read as. A router reads a target once; a handler behind
 * a wildcard may decode it again, resolve its dots, or hand it to a server with other habits. What
 * any of them could take for a guarded path has to count as one.
 */

const MAX_LENGTH = 2048

// How many characters are looked at in all: some twenty readings of a long path, hundreds of a short one.
const MAX_WORK = 20_000

// Nothing in these has a second meaning but the case, and most requests are for one of them.
const PLAIN = /^(?:\/[\w-]+(?:\.[\w-]+)*)+$/

/** What readers do with a path, each some of these in an order of its own. `null`: it cannot be told what they make of it. */
const STEPS: ReadonlyArray<(path: string) => string | null> = [
  decode,
  path => foldCase(path.normalize('NFKC')),
  path => path.replaceAll('\\', '/'),
  path => cutAt(path, '\0'),
  path => cutAt(path, '?'),
  path => cutAt(path, '#'),
  path => cutAt(path, ';'),
  path => path.includes(';') ? path.replace(/;[^/]*/g, '') : path,
  trimSegments,
  resolveDots,
  joinSlashes
]

/**
 * The paths, case-folded, among them those with a leading slash and no empty segments. `null` when
 * they cannot be told: the target is too long, or has too many meanings, so that nobody buys time
 * with an odd one.
 *
 * @param target a request target in any form (RFC 9112, section 3.2)
 */
export function readings (target: string): ReadonlySet<string> | null {
  const path = cutAt(target, '?')
  if (path.length > MAX_LENGTH) return null
  if (PLAIN.test(path)) return new Set([path.toLowerCase()])
  const found = new Set(withoutAuthority(target).map(start => foldCase(cutAt(start, '?'))))
  let work = 0
  // The set grows as it is walked, until no step leads to anything new.
  for (const reading of found) {
    work += reading.length
    if (work > MAX_WORK) return null
    for (const step of STEPS) {
      const next = step(reading)
      if (next === null) return null
      found.add(next)
    }
  }
  return found
}

/** Folds what readers may take for the same: compatibility forms, then case. */
export function fold (text: string): string {
  return foldCase(text.normalize('NFKC')).normalize('NFKC')
}

/** By way of the upper case, where more letters meet. */
function foldCase (text: string): string {
  return text.toUpperCase().toLowerCase()
}

/** The target as it is, and as readers see it who take a scheme or two slashes for the start of an authority. */
function withoutAuthority (target: string): string[] {
  const authority = /^(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}([^/\\]*)/i.exec(target)
  if (authority === null) return [target]
  const rest = target.slice(authority[0].length)
  // "http://host?next=/admin": to some the authority ends at the question mark, to others at the slash.
  return [target, rest, ...(/[?#]/.test(authority[1]!) ? ['/'] : [])]
}

/** Decodes what is well encoded and leaves the rest; `null` for bytes that are no UTF-8, which readers disagree on. */
function decode (text: string): string | null {
  if (!text.includes('%')) return text
  try {
    return foldCase(text.replace(/(?:%[0-9a-f]{2})+/gi, decodeURIComponent))
  } catch {
    return null
  }
}

/** Some file systems drop blanks around a name and dots behind it. */
function trimSegments (path: string): string {
  return /[\s.]/.test(path) ? path.split('/').map(trim).join('/') : path
}

function trim (segment: string): string {
  const bare = segment.trim()
  if (bare === '.' || bare === '..') return bare
  // Not by a regular expression, which would start anew at each of a long row of dots.
  let end = bare.length
  while (bare[end - 1] === '.' || bare[end - 1] === ' ') end--
  return bare.slice(0, end)
}

/** RFC 3986, section 5.2.4. */
function resolveDots (path: string): string {
  if (!path.includes('.')) return path
  const [root = '', ...segments] = path.split('/')
  const resolved: string[] = []
  for (const segment of segments) {
    if (segment === '..') resolved.pop()
    else if (segment !== '.') resolved.push(segment)
  }
  return [root, ...resolved].join('/')
}

/** One slash in front, and one between segments. */
function joinSlashes (path: string): string {
  return path.startsWith('/') && !path.includes('//') ? path : `/${path.split('/').filter(segment => segment !== '').join('/')}`
}

function cutAt (text: string, mark: string): string {
  const at = text.indexOf(mark)
  return at === -1 ? text : text.slice(0, at)
}
