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

import { fold, isPrintableAscii, namesIn } from './normal-form.js'

/** Characters. A longer path that is not plain is ambiguous. 255 bytes of UTF-8, the limit of many names, take 765. */
const MAX_LENGTH = 1024

/** Characters over all forms of one target, read and written. With {@link MAX_FORMS} it bounds the target's cost. */
const MAX_WORK = 11_264

/** As many characters cost as much as a segment does by itself. */
const SEGMENT_WORK = 16

/** As many characters of ASCII cost as much as one beyond it, which has to be folded. */
const FOLDING_WORK = 4

/** How many forms a target can take. A target with more is ambiguous, as one with more {@link MAX_ODD} is. */
const MAX_FORMS = 22

/** How many segments a target that is not plain can have. */
const MAX_SEGMENTS = 64

/** How many segments of a form can be read in more than one way, and how much of a target can be. */
const MAX_ODD = 16

// Segments of what RFC 3986, section 3.3, allows in one, without `;`, escapes, and dots at the ends or in a row.
const PLAIN = /^\/(?:[\w!$&'()*+,=:@~-]+(?:\.[\w!$&'()*+,=:@~-]+)*(?:\/|$))*$/

/**
 * @param target a request target in any form (RFC 9112, section 3.2). Its query never counts.
 * @returns the paths in normal form: a leading slash, no trailing one, no empty segments, case folded.
 *   `null`: the target is ambiguous.
 */
export function possiblePaths (target: string): ReadonlySet<string> | null {
  const path = cutAt(target, '?')
  if (PLAIN.test(path)) return new Set([withoutTrailingSlash(path.toLowerCase())])
  if (path.length > MAX_LENGTH || countOf(SLASH, path) > MAX_SEGMENTS || countOf(ODD_PARTS, path) > MAX_ODD) return null
  const starts = startsFrom(path.toLowerCase())
  for (const authority of [AUTHORITY, AUTHORITY_TO_SLASH]) starts.add(withoutScheme(target.toLowerCase(), authority))
  return expand(starts)
}

/** Decodes as often as there is something to decode. Of each form, adds those in which a reader has a part apart. */
function startsFrom (path: string): Set<string> {
  const starts = new Set<string>()
  let kept = KEPT_BY_SOME
  for (let form = path; !starts.has(form) && starts.size <= MAX_FORMS; form = decode(form)) {
    const first = form.replace(kept.first, '_')
    starts.add(form).add(first).add(first.replace(kept.first, '_')).add(form.replaceAll(kept.all, '_'))
    kept = ENCODED_AND_KEPT_BY_SOME // a backslash that is decoded was kept in its encoded form
  }
  // What is dropped with a parameter reaches across a backslash that does not separate.
  return MARK.test(path) ? starts.add(path.replaceAll(BACKSLASHES, '_')) : starts
}

function firstAndAll (part: RegExp): { readonly first: RegExp, readonly all: RegExp } {
  return { first: part, all: new RegExp(part, 'g') }
}

/** Takes every step of a reader from every form, and from what comes of it, until no form is new. */
function expand (forms: Set<string>): ReadonlySet<string> | null {
  const paths = new Set<string>()
  let work = 0
  for (const form of forms) {
    work += workFor(form)
    if (work > MAX_WORK || forms.size > MAX_FORMS || MANGLED.test(form)) return null
    for (const next of stepsFrom(form)) forms.add(next)
    const reading = readLeniently(form)
    if (reading === null) return null
    if (reading.normal !== form) work += workFor(reading.normal)
    forms.add(reading.normal)
    for (const path of reading.paths) paths.add(path)
  }
  return paths
}

function workFor (form: string): number {
  return form.length * (isPrintableAscii(form) ? 1 : FOLDING_WORK) + SEGMENT_WORK * countOf(SLASH, form)
}

// Well-formed UTF-8 alone (RFC 3629, section 4).
const CHARACTER = [
  '%[0-7][\\da-f]', '%(?:c[2-9a-f]|d[\\da-f])%[89ab][\\da-f]', '%e0%[ab][\\da-f]%[89ab][\\da-f]',
  '%ed%[89][\\da-f]%[89ab][\\da-f]', '%e[1-9abcef](?:%[89ab][\\da-f]){2}', '%f0%[9ab][\\da-f](?:%[89ab][\\da-f]){2}',
  '%f[1-3](?:%[89ab][\\da-f]){3}', '%f4%8[\\da-f](?:%[89ab][\\da-f]){2}'
].join('|')
const ENCODED = new RegExp(`(?:${CHARACTER})+`, 'g')
const WELL_FORMED = new RegExp(`^[^%]*(?:(?:${CHARACTER})[^%]*)*$`)
const BYTES = /%[\da-f]{2}/g
const LATIN_1_THAT_FOLDS = /%(?:aa|b[239a])/g
/** NUL, overlong UTF-8 (RFC 3629, section 10) and the encoding of one server alone: readers differ too much. */
const MANGLED = /%00|%c[01]%[89ab]|%e0%[89]|%f0%8|%u[\da-f]{4}/

const AUTHORITY = /(?:(?<=^|[/\\])[a-z][a-z\d+.-]*:)?[/\\]{2,}[^/\\]*/
const AUTHORITY_TO_SLASH = /^[a-z][a-z\d+.-]*:\/\/[^/]*/
const SCHEME = /^[a-z][a-z\d+.-]*:(?=[/\\])/

// The rest of a segment from an encoded slash or a backslash on. To some readers these do not separate, as to a handler
// that has the parameter of its scope apart, or that drops parameters before it decodes.
const KEPT_BY_SOME = firstAndAll(/(?:%(?:25)*(?:2f|5c)|\\)[^/]*/)
const MARK = /;|%(?:25)*(?:3b|3f|23)/
const BACKSLASHES = /%(?:25)*5c|\\/g
const ENCODED_AND_KEPT_BY_SOME = firstAndAll(/%(?:25)*(?:2f|5c)[^/]*/)

/**
 * What a reader can make of a form in one step. No step makes a form longer, or comes back to an earlier one.
 * A part that is like a leading authority becomes one where a server removes the path it is mounted at.
 * @see RFC 3986, sections 2.1 and 4.2
 */
function stepsFrom (form: string): readonly string[] {
  const decoded = decode(form)
  const steps = [decoded, form.replace(AUTHORITY, ''), form.replace(SCHEME, '')]
  // Bytes that are no UTF-8: some readers drop them, and in Latin-1 some of them fold to ASCII.
  if (decoded === form) steps.push(form.replaceAll(BYTES, ''), form.replaceAll(LATIN_1_THAT_FOLDS, fromLatin1))
  return steps
}

function fromLatin1 (byte: string): string {
  return String.fromCharCode(parseInt(byte.slice(1), 16))
}

/** Decodes what is well-formed, and keeps the rest as text. Without an exception, which costs more than all else. */
function decode (text: string): string {
  if (!text.includes('%')) return text
  return (WELL_FORMED.test(text) ? decodeURIComponent(text) : text.replace(ENCODED, decodeURIComponent)).toLowerCase()
}

interface Reading {
  /** The form with every segment in normal form. */
  readonly normal: string
  /**
   * Its path, and the path above each segment that is not in normal form already: to a reader that keeps what
   * the normal form drops, that segment is another one, which has no prefix of its own.
   */
  readonly paths: readonly string[]
}

/**
 * Reads a form as the most lenient reader does.
 * @returns `null` for a form with a dot segment, or with too many segments that are not in normal form
 */
function readLeniently (form: string): Reading | null {
  const segments = form.split('/')
  const folded = fold(form).split('/')
  // Characters that fold to a slash move all that follows, so each segment is folded by itself.
  const foldedAt = (i: number): string => folded.length === segments.length ? folded[i]! : fold(segments[i]!)
  const normal: string[] = []
  const names: string[] = []
  const paths: string[] = []
  let odd = 0
  for (const [i, segment] of segments.entries()) {
    const parts = namesIn(foldedAt(i), MAX_ODD + 1)
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

/** To some readers the authority of `http://host?next=/admin` ends at the question mark, to others at the slash. */
function withoutScheme (target: string, authority: RegExp): string {
  return cutAt(SCHEME.test(target) ? target.replace(authority, '') : target, '?')
}

const SLASH = /\//g

// What makes a reader decode again, or see other segments.
const ODD_PARTS = /%25|%2f|%5c|\\|\/\/|;/gi

function countOf (part: RegExp, text: string): number {
  return text.match(part)?.length ?? 0
}

function withoutTrailingSlash (path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

function cutAt (text: string, mark: string): string {
  const at = text.indexOf(mark)
  return at === -1 ? text : text.slice(0, at)
}
