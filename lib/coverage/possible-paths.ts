/**
 * The paths that a request target can stand for. A router reads a target once; code behind a wildcard
 * can decode it again, drop its parameters or send it to a server with other rules. A target is
 *
 * 1. plain: one path, which every reader agrees on; or
 * 2. ambiguous: its paths cannot be listed, as with dot segments; or
 * 3. one of a small, bounded set of paths.
 *
 * @see CWE-22 (path traversal); RFC 3986, section 6.2
 */

/** Characters. A longer path that is not plain is ambiguous. */
const MAX_LENGTH = 2048

/** Characters over all forms of one target. With {@link MAX_FORMS} it bounds what a target can cost. */
const MAX_WORK = 12_288

/** How many forms a target can take. A target with more is ambiguous, as one with more {@link MAX_ODD} is. */
const MAX_FORMS = 24

/** How many segments of a form can be read in more than one way. */
const MAX_ODD = 16

const MAX_DECODINGS = 4

const PLAIN = /^(?:\/[\w-]+(?:\.[\w-]+)*)*\/?$/

/**
 * @param target a request target in any form (RFC 9112, section 3.2). Its query never counts.
 * @returns the paths in normal form: a leading slash, no trailing one, no empty segments, case folded.
 *   `null`: the target is ambiguous.
 */
export function possiblePaths (target: string): ReadonlySet<string> | null {
  const path = cutAt(target, '?')
  if (PLAIN.test(path)) return new Set([withoutTrailingSlash(path.toLowerCase())])
  if (path.length > MAX_LENGTH || !isDecodedBy(MAX_DECODINGS, path)) return null
  return expand(new Set([path.toLowerCase(), withoutScheme(target.toLowerCase())]))
}

/** Takes every step of a reader from every form, and from what comes of it, until no form is new. */
function expand (forms: Set<string>): ReadonlySet<string> | null {
  const paths = new Set<string>()
  let work = 0
  for (const form of forms) {
    work += form.length
    if (work > MAX_WORK || forms.size > MAX_FORMS || isAmbiguous(form)) return null
    const normal = normalize(form, paths)
    if (normal === null) return null
    forms.add(decode(form, ENCODED)).add(decode(form, ENCODED_BUT_SEPARATORS)).add(normal).add(withoutAuthority(form))
  }
  return paths
}

/** Whether so many decodings, at most, leave nothing to decode. */
function isDecodedBy (decodings: number, text: string): boolean {
  const decoded = decode(text, ENCODED)
  return decoded === text || (decodings > 0 && isDecodedBy(decodings - 1, decoded))
}

const BLANKS = /[\s\p{Cc}]+/gu
const LEADING_DOT = /(?:^|[/\\])[\s\p{Cc}]*\./u
const OVERLONG = /%c[01]%[89ab]|%e0%[89]|%f0%8/

/** Whether readers can find a dot segment in this form, or bytes that UTF-8 forbids (RFC 3629, section 10). */
function isAmbiguous (form: string): boolean {
  return (LEADING_DOT.test(form) && form.split(/[/\\]/).some(isDotSegment)) || OVERLONG.test(form)
}

function isDotSegment (segment: string): boolean {
  return hasOnlyDots(segment) || hasOnlyDots(cutAt(segment, '\0'))
}

function hasOnlyDots (segment: string): boolean {
  const name = cutAtMark(segment)
  const dots = name.replace(BLANKS, '')
  return dots === '.' || dots === '..' || (dots !== name && /^\.+$/.test(dots))
}

// Well-formed UTF-8 alone (RFC 3629, section 4); any other byte stays as it is written.
const CHARACTER = [
  '%[0-7][\\da-f]', '%(?:c[2-9a-f]|d[\\da-f])%[89ab][\\da-f]', '%e0%[ab][\\da-f]%[89ab][\\da-f]',
  '%ed%[89][\\da-f]%[89ab][\\da-f]', '%e[1-9abcef](?:%[89ab][\\da-f]){2}', '%f0%[9ab][\\da-f](?:%[89ab][\\da-f]){2}',
  '%f[1-3](?:%[89ab][\\da-f]){3}', '%f4%8[\\da-f](?:%[89ab][\\da-f]){2}'
].join('|')
const ENCODED = new RegExp(`(?:${CHARACTER})+`, 'gi')
const ENCODED_BUT_SEPARATORS = new RegExp(`(?:(?!%2f|%5c)(?:${CHARACTER}))+`, 'gi')

function decode (text: string, encoded: RegExp): string {
  return text.includes('%') ? text.replace(encoded, decodeURIComponent).toLowerCase() : text
}

/**
 * The form as the most lenient reader sees it.
 *
 * Adds its path. To a reader that keeps what {@link nameOf} drops from a segment, the segment is another one, which
 * has no prefix of its own; so the path above each such segment is added too.
 * @returns `null` for a form with too many of them
 */
function normalize (form: string, paths: Set<string>): string | null {
  const isFolded = fold(form) === form
  const normal: string[] = []
  const names: string[] = []
  let odd = 0
  for (const segment of form.split('/')) {
    const parts = isFolded && !ODD.test(segment) ? [segment] : partsOf(isFolded ? segment : fold(segment))
    if (parts.length > 1 || parts[0] !== segment) {
      odd += parts.length
      if (odd > MAX_ODD) return null
      paths.add(`/${names.join('/')}`)
    }
    for (const part of parts) {
      normal.push(part)
      if (part !== '') names.push(part)
    }
  }
  paths.add(`/${names.join('/')}`)
  return normal.join('/')
}

/** A segment in normal form. */
export function normalizeSegment (segment: string): string {
  return partsOf(fold(segment.toLowerCase())).join('/')
}

const ODD = /[;?#\\\s\p{Cc}]|\.$/u

/** A folded segment as the most lenient reader sees it, with backslashes and folded slashes as separators. */
function partsOf (segment: string): readonly string[] {
  return segment.split(/[/\\]/, MAX_ODD + 1).map(nameOf)
}

/** Compatibility forms, then case by way of the upper case, where more letters meet. */
function fold (text: string): string {
  return PRINTABLE_ASCII.test(text) ? text : text.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

const PRINTABLE_ASCII = /^[ -~]*$/

/** A segment up to its first `;`, `?`, `#` or NUL, without control characters, outer blanks and trailing dots. */
function nameOf (segment: string): string {
  const name = cutAtMark(cutAt(segment, '\0')).replace(/\p{Cc}+/gu, '').trim()
  // Not by a regular expression, which would start again at each of a long row of dots.
  let end = name.length
  while (end > 0 && (name[end - 1] === '.' || name[end - 1]!.trim() === '')) end--
  return name.slice(0, end)
}

/** Without a leading `scheme://host` or `//host` (RFC 3986, section 4.2). */
function withoutAuthority (text: string): string {
  return text.replace(/^(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}[^/\\]*/, '')
}

/** To some readers the authority of `http://host?next=/admin` ends at the question mark, to others at the slash. */
function withoutScheme (target: string): string {
  return cutAt(/^[a-z]/.test(target) ? withoutAuthority(target) : target, '?')
}

function withoutTrailingSlash (path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path || '/'
}

function cutAtMark (text: string): string {
  const at = text.search(/[;?#]/)
  return at === -1 ? text : text.slice(0, at)
}

function cutAt (text: string, mark: string): string {
  const at = text.indexOf(mark)
  return at === -1 ? text : text.slice(0, at)
}
