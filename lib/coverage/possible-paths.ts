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
const MAX_WORK = 16_384

/** As many characters cost as much as a segment does by itself. */
const SEGMENT_WORK = 24

/** How many forms a target can take. A target with more is ambiguous, as one with more {@link MAX_ODD} is. */
const MAX_FORMS = 48

/** How many segments of a form can be read in more than one way. */
const MAX_ODD = 16

const PLAIN = /^\/(?:[\w-]+(?:\.[\w-]+)*(?:\/|$))*$/

/**
 * @param target a request target in any form (RFC 9112, section 3.2). Its query never counts.
 * @returns the paths in normal form: a leading slash, no trailing one, no empty segments, case folded.
 *   `null`: the target is ambiguous.
 */
export function possiblePaths (target: string): ReadonlySet<string> | null {
  const path = cutAt(target, '?')
  if (PLAIN.test(path)) return new Set([withoutTrailingSlash(path.toLowerCase())])
  if (path.length > MAX_LENGTH) return null
  return expand(new Set([path.toLowerCase(), withoutScheme(target.toLowerCase())]))
}

/** Takes every step of a reader from every form, and from what comes of it, until no form is new. */
function expand (forms: Set<string>): ReadonlySet<string> | null {
  const paths = new Set<string>()
  let work = 0
  for (const form of forms) {
    work += form.length + SEGMENT_WORK * (form.split('/').length - 1)
    if (work > MAX_WORK || forms.size > MAX_FORMS || MANGLED.test(form)) return null
    for (const step of STEPS) forms.add(step(form))
    const reading = readLeniently(form)
    if (reading === null) return null
    forms.add(reading.normal)
    for (const path of reading.paths) paths.add(path)
  }
  return paths
}

// Well-formed UTF-8 alone (RFC 3629, section 4).
const CHARACTER = [
  '%[0-7][\\da-f]', '%(?:c[2-9a-f]|d[\\da-f])%[89ab][\\da-f]', '%e0%[ab][\\da-f]%[89ab][\\da-f]',
  '%ed%[89][\\da-f]%[89ab][\\da-f]', '%e[1-9abcef](?:%[89ab][\\da-f]){2}', '%f0%[9ab][\\da-f](?:%[89ab][\\da-f]){2}',
  '%f[1-3](?:%[89ab][\\da-f]){3}', '%f4%8[\\da-f](?:%[89ab][\\da-f]){2}'
].join('|')
const ENCODED = new RegExp(`(?:${CHARACTER})+`, 'gi')
const ENCODED_BUT_SLASHES = new RegExp(`(?:(?!%2f)(?:${CHARACTER}))+`, 'gi')
const NOT_ASCII = /%[89a-f]/
const STRAY_BYTE = new RegExp(`${CHARACTER}|%([89a-f][\\da-f])`, 'g')

/** NUL, overlong UTF-8 (RFC 3629, section 10) and the encoding of one server alone: readers differ too much. */
const MANGLED = /%00|%c[01]%[89ab]|%e0%[89]|%f0%8|%u[\da-f]{4}/

const AUTHORITY = /(?:(?<=^|[/\\])[a-z][a-z\d+.-]*:)?[/\\]{2,}[^/\\]*/
const SCHEME = /^[a-z][a-z\d+.-]*:(?=[/\\])/

/**
 * What a reader can do to a form. No step makes a form longer, or comes back to an earlier one.
 * A part that is like a leading authority becomes one where a server removes the path it is mounted at.
 * @see RFC 3986, sections 2.1 and 4.2
 */
const STEPS: ReadonlyArray<(form: string) => string> = [
  form => decode(form, ENCODED),
  form => form.includes('%2f') ? decode(form, ENCODED_BUT_SLASHES) : form,
  form => replaceStrayBytes(form, () => ''),
  form => replaceStrayBytes(form, byte => String.fromCharCode(byte)),
  form => form.replace(AUTHORITY, ''),
  form => form.replace(SCHEME, ''),
  // To some readers neither of these separates, as to a handler that has a parameter of its scope by itself.
  form => form.replace(/(?:%2f|\\)[^/]*/, '_')
]

function decode (text: string, encoded: RegExp): string {
  return text.includes('%') ? text.replace(encoded, decodeURIComponent).toLowerCase() : text
}

/** Bytes that are no UTF-8: some readers drop them, others read them as Latin-1. */
function replaceStrayBytes (text: string, replace: (byte: number) => string): string {
  if (!NOT_ASCII.test(text)) return text
  return text.replace(STRAY_BYTE, (match, hex?: string) => hex === undefined ? match : replace(parseInt(hex, 16)))
}

const SEPARATORS = /[/\\]/

interface Reading {
  /** The form with every segment in normal form. */
  readonly normal: string
  /**
   * Its path, and the path above each segment that is not in normal form already: to a reader that keeps what
   * {@link nameOf} drops from a segment, the segment is another one, which has no prefix of its own.
   */
  readonly paths: readonly string[]
}

/**
 * Reads a form as the most lenient reader does.
 * @returns `null` for a form with a dot segment, or with too many segments that are not in normal form
 */
function readLeniently (form: string): Reading | null {
  const isFolded = fold(form) === form
  const normal: string[] = []
  const names: string[] = []
  const paths: string[] = []
  let odd = 0
  for (const segment of form.split('/')) {
    const parts = isFolded && !ODD.test(segment) ? [segment] : partsOf(segment)
    if (parts === null) return null
    if (parts.length > 1 || parts[0] !== segment) {
      odd += parts.length
      if (odd > MAX_ODD) return null
      paths.push(pathOf(names))
    }
    normal.push(...parts)
    names.push(...parts.filter(name => name !== ''))
  }
  paths.push(pathOf(names))
  return { normal: normal.join('/'), paths }
}

function pathOf (names: readonly string[]): string {
  return `/${names.join('/')}`
}

/** The names that a segment is to the most lenient reader; `null` when one of them is a dot segment. */
function partsOf (segment: string): readonly string[] | null {
  const parts = fold(segment).split(SEPARATORS, MAX_ODD + 1)
  return parts.some(isDotSegment) ? null : parts.map(nameOf)
}

/** A segment in normal form. */
export function normalizeSegment (segment: string): string {
  return fold(segment.toLowerCase()).split(SEPARATORS).map(nameOf).join('/')
}

// What some reader drops or takes for an end, and dots at the end or alone.
const ODD = /[;?#\\\s\p{Cc}\p{DI}]|\.$/u
const INVISIBLE = /[\p{Cc}\p{DI}]+/gu
const BLANKS = /[\s\p{Cc}\p{DI}]+/gu

/** Whether a reader that drops blanks, or that cuts at a mark, resolves this segment (RFC 3986, section 5.2.4). */
function isDotSegment (segment: string): boolean {
  if (!segment.includes('.')) return false
  const name = cutAtMark(segment)
  const dots = name.replace(BLANKS, '')
  return dots === '.' || dots === '..' || (dots !== name && /^\.+$/.test(dots))
}

/** Compatibility forms, then case by way of the upper case, where more letters meet. */
function fold (text: string): string {
  return PRINTABLE_ASCII.test(text) ? text : text.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

const PRINTABLE_ASCII = /^[ -~]*$/

/** A segment up to its first `;`, `?` or `#`, without invisible characters, outer blanks and trailing dots. */
function nameOf (segment: string): string {
  const name = cutAtMark(segment).replace(INVISIBLE, '').trim()
  // Not by a regular expression, which would start again at each of a long row of dots.
  let end = name.length
  while (end > 0 && (name[end - 1] === '.' || name[end - 1]!.trim() === '')) end--
  return name.slice(0, end)
}

/** To some readers the authority of `http://host?next=/admin` ends at the question mark, to others at the slash. */
function withoutScheme (target: string): string {
  return cutAt(SCHEME.test(target) ? target.replace(AUTHORITY, '') : target, '?')
}

function withoutTrailingSlash (path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

function cutAtMark (text: string): string {
  const at = text.search(/[;?#]/)
  return at === -1 ? text : text.slice(0, at)
}

function cutAt (text: string, mark: string): string {
  const at = text.indexOf(mark)
  return at === -1 ? text : text.slice(0, at)
}
