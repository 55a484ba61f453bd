/**
 * Every path that a request target could be read as. A router reads a target once; a handler behind
 * a wildcard may decode it again, resolve its dots, or hand it to a server with other habits. What
 * any of them could take for a guarded path has to count as one.
 */

const MAX_DECODINGS = 4
const MAX_LENGTH = 2048

// Nothing in these has a second meaning but the case, and most requests are for one of them.
const PLAIN = /^(?:\/[\w-]+(?:\.[\w-]+)*)+$/

/**
 * The paths, case-folded, without empty segments, each with a leading slash. `null` when they cannot
 * be told: the target is too long, or goes on changing however often it is decoded.
 *
 * @param target a request target in any form (RFC 9112, section 3.2)
 */
export function readings (target: string): ReadonlySet<string> | null {
  const path = cutAt(target, '?')
  if (path.length > MAX_LENGTH) return null
  if (PLAIN.test(path)) return new Set([path.toLowerCase()])
  const found = new Set<string>()
  for (const start of withoutAuthority(target)) {
    const decoded = decodings(cutAt(start, '?'))
    if (decoded === null) return null
    for (const text of decoded) addReadings(text, found)
  }
  return found
}

/** Folds what readers may take for the same: compatibility forms, then case by way of the upper one. */
export function fold (text: string): string {
  return text.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

/** The target as it is, and as readers see it who take a scheme or two slashes for the start of an authority. */
function withoutAuthority (target: string): string[] {
  const authority = /^(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}([^/\\]*)/i.exec(target)
  if (authority === null) return [target]
  const rest = target.slice(authority[0].length)
  // "http://host?next=/admin": to some the authority ends at the question mark, to others at the slash.
  return [target, rest, ...(/[?#]/.test(authority[1]!) ? ['/'] : [])]
}

/** The text and what repeated decoding makes of it, or `null` when that does not come to an end. */
function decodings (text: string): string[] | null {
  const all = [text]
  for (let i = 0; i <= MAX_DECODINGS; i++) {
    const decoded = decode(all.at(-1)!)
    if (decoded === null) return null
    if (decoded === all.at(-1)) return all
    all.push(decoded)
  }
  return null
}

/** Decodes what is well encoded and leaves the rest; `null` for bytes that are no UTF-8, which readers disagree on. */
function decode (text: string): string | null {
  try {
    return text.replace(/(?:%[0-9a-f]{2})+/gi, decodeURIComponent)
  } catch {
    return null
  }
}

function addReadings (text: string, found: Set<string>): void {
  const folded = fold(text).replaceAll('\\', '/')
  const wholes = new Set([
    folded,
    cutAt(folded, '\0'),
    cutAt(folded, '?'),
    cutAt(folded, '#'),
    cutAt(folded, ';'),
    folded.replace(/;[^/]*/g, '')
  ])
  for (const whole of wholes) {
    const segments = whole.split('/')
    const trimmed = segments.map(trim)
    found.add(join(segments))
    found.add(join(trimmed))
    for (const variant of [segments, trimmed]) {
      found.add(join(resolveDots(variant)))
      found.add(join(resolveDots(variant.filter(isFilled))))
    }
  }
}

/** Some file systems drop blanks around a name and dots behind it. */
function trim (segment: string): string {
  const bare = segment.trim()
  if (bare === '.' || bare === '..') return bare
  // Not by a regular expression, which would start anew at each of a long row of dots.
  let end = bare.length
  while (bare[end - 1] === '.' || bare[end - 1] === ' ') end--
  return bare.slice(0, end)
}

/** RFC 3986, section 5.2.4. */
function resolveDots (segments: readonly string[]): string[] {
  const resolved: string[] = []
  for (const segment of segments) {
    if (segment === '..') resolved.pop()
    else if (segment !== '.') resolved.push(segment)
  }
  return resolved
}

function join (segments: readonly string[]): string {
  return `/${segments.filter(isFilled).join('/')}`
}

function isFilled (segment: string): boolean {
  return segment !== ''
}

function cutAt (text: string, mark: string): string {
  const at = text.indexOf(mark)
  return at === -1 ? text : text.slice(0, at)
}
