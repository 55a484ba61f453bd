/**
 * The paths that a request target can stand for. A router reads a target once; code behind a wildcard
 * can decode it again, drop its parameters or send it to a server with other rules. A target is
 *
 * 1. plain: one path, which every reader agrees on; or
 * 2. ambiguous: its paths cannot be listed, as with dot segments, so every registration of the route must admit it; or
 * 3. one of a small, bounded set of paths.
 *
 * @see CWE-22 (path traversal); RFC 3986, section 6.2
 */

import { foldUnicode, isPrintableAscii, namesIn } from './normal-form.js'

/** Characters. A longer path that is not plain is ambiguous. 255 bytes of UTF-8, the limit of many names, take 765. */
const MAX_LENGTH = 1024

/**
 * Characters over all forms of one target, read and written. With {@link MAX_FORMS} it bounds the CPU cost of a target.
 */
const MAX_WORK = 8704

/** The cost of a segment, in characters. */
const SEGMENT_WORK = 16

/** The cost of a character beyond ASCII, which has to be folded, in ASCII characters. */
const FOLDING_WORK = 4

/** How many forms a target can have. A target with more is ambiguous, as one that exceeds any other limit. */
const MAX_FORMS = 16

/** How many segments a target that is not plain can have. */
const MAX_SEGMENTS = 64

/** How many segments of a form, and how many parts of a target, can be read in more than one way. */
const MAX_ODD = 16

// Segments of the characters in RFC 3986, section 3.3, without `;`, escapes, leading or trailing dots, and dots in a
// row.
const PLAIN = /^\/(?:[\w!$&'()*+,=:@~-]+(?:\.[\w!$&'()*+,=:@~-]+)*(?:\/|$))*$/

/**
 * @param target a request target in any form (RFC 9112, section 3.2). Its query never counts.
 * @returns the paths in normal form: a leading slash, no empty segments, case folded. A plain path keeps its trailing
 *   slash, which no comparison with a prefix or a pattern counts. `null`: the target is ambiguous.
 */
export function possiblePaths (target: string): ReadonlySet<string> | null {
  const path = cutAt(target, '?')
  if (PLAIN.test(path)) return new Set([path.toLowerCase()])
  if (path.length > MAX_LENGTH || slashesIn(path) > MAX_SEGMENTS || ambiguousPartsIn(path) > MAX_ODD) return null
  const starts = startsFrom(path.toLowerCase())
  for (const start of withoutScheme(target.toLowerCase())) starts.add(cutAt(start, '?'))
  return expand(starts)
}

/** Decodes until nothing changes. For each form, adds the forms in which a reader keeps encoded slashes as text. */
function startsFrom (path: string): Set<string> {
  const starts = new Set<string>()
  let kept = KEPT_BY_SOME
  for (let form = path; !starts.has(form) && starts.size <= MAX_FORMS; form = decode(form)) {
    starts.add(form)
    const first = form.replace(kept.first, '_')
    if (first !== form) starts.add(first).add(first.replace(kept.first, '_')).add(form.replaceAll(kept.all, '_'))
    kept = ENCODED_AND_KEPT_BY_SOME // a decoded backslash was already replaced in its encoded form
  }
  // A reader that drops `;` parameters can drop a backslash with them, which then does not separate.
  return MARK.test(path) ? starts.add(path.replaceAll(BACKSLASHES, '_')) : starts
}

function firstAndAll (part: RegExp): { readonly first: RegExp, readonly all: RegExp } {
  return { first: part, all: new RegExp(part, 'g') }
}

/** Applies every step of a reader to every form, and to the results, until there is no new form. */
function expand (forms: Set<string>): ReadonlySet<string> | null {
  const paths = new Set<Path>()
  const reader = new LenientReader()
  let work = 0
  for (const form of forms) {
    work += workFor(form)
    if (work > MAX_WORK || forms.size > MAX_FORMS || MANGLED.test(form)) return null
    for (const next of stepsFrom(form)) forms.add(next)
    const reading = reader.read(form)
    if (reading === null) return null
    if (reading.normal !== form) work += workFor(reading.normal)
    forms.add(reading.normal)
    for (const path of reading.paths) paths.add(path)
  }
  return new Set(Array.from(paths, ({ text }) => text === '' ? '/' : text))
}

function workFor (form: string): number {
  return form.length * (isPrintableAscii(form) ? 1 : FOLDING_WORK) + SEGMENT_WORK * slashesIn(form)
}

// Well-formed UTF-8 alone (RFC 3629, section 4).
const CHARACTER = [
  '%[0-7][\\da-f]', '%(?:c[2-9a-f]|d[\\da-f])%[89ab][\\da-f]', '%e0%[ab][\\da-f]%[89ab][\\da-f]',
  '%ed%[89][\\da-f]%[89ab][\\da-f]', '%e[1-9abcef](?:%[89ab][\\da-f]){2}', '%f0%[9ab][\\da-f](?:%[89ab][\\da-f]){2}',
  '%f[1-3](?:%[89ab][\\da-f]){3}', '%f4%8[\\da-f](?:%[89ab][\\da-f]){2}'
].join('|')
const ENCODED = new RegExp(`(?:${CHARACTER})+`, 'g')
const WELL_FORMED = new RegExp(`^[^%]*(?:(?:${CHARACTER})[^%]*)*$`)
const FEW_ESCAPES = /^[^%]*(?:%[^%]*){0,24}$/
const BYTES = /%[\da-f]{2}/g
const LATIN_1_THAT_FOLDS = /%(?:aa|b[239a])/g
/** NUL, overlong UTF-8 (RFC 3629, section 10) and `%uXXXX`: readers differ too much, so the target is ambiguous. */
const MANGLED = /%00|%c[01]%[89ab]|%e0%[89]|%f0%8|%u[\da-f]{4}/

const AUTHORITY = /[/\\]{2,}[^/\\]*/
const SCHEME_ALONE = /^[a-z][a-z\d+.-]*:$/
const AUTHORITY_TO_SLASH = /^[a-z][a-z\d+.-]*:\/\/[^/]*/
// Counts as empty, so that an authority can follow.
const BLANK_SEGMENT = /(?<=[/\\])[\s\p{Cc}\p{DI}]+(?=[/\\])/gu
const SCHEME = /^[a-z][a-z\d+.-]*:(?=[/\\])/

// The rest of a segment after an encoded slash or a backslash. Some readers do not take these for separators: a handler
// that reads a route parameter, or one that drops `;` parameters before it decodes.
const KEPT_BY_SOME = firstAndAll(/(?:%(?:25)*(?:2f|5c)|\\)[^/]*/)
const MARK = /;|%(?:25)*(?:3b|3f|23)/
const BACKSLASHES = /%(?:25)*5c|\\/g
const ENCODED_AND_KEPT_BY_SOME = firstAndAll(/%(?:25)*(?:2f|5c)[^/]*/)

/**
 * The forms that a reader can make of a form in one step. No step makes a form longer or leads back to an earlier one.
 * A part that looks like an authority counts anywhere: it becomes a leading one where a server removes its mount path.
 * @see RFC 3986, sections 2.1 and 4.2
 */
function stepsFrom (form: string): readonly string[] {
  const steps = [withoutAuthority(form), form.replace(SCHEME, ''), form.replaceAll(BLANK_SEGMENT, '')]
  if (!form.includes('%')) return steps
  const decoded = decode(form)
  steps.push(decoded)
  // Bytes that are not UTF-8: some readers drop them, some read them as Latin-1, where a few fold to ASCII.
  if (decoded === form) steps.push(form.replaceAll(BYTES, ''), form.replaceAll(LATIN_1_THAT_FOLDS, fromLatin1))
  return steps
}

function withoutAuthority (form: string): string {
  const authority = AUTHORITY.exec(form)
  if (authority === null) return form
  const above = form.slice(0, authority.index)
  const below = form.slice(authority.index + authority[0].length)
  const start = Math.max(above.lastIndexOf('/'), above.lastIndexOf('\\')) + 1
  return (SCHEME_ALONE.test(above.slice(start)) ? above.slice(0, start) : above) + below
}

function fromLatin1 (byte: string): string {
  return String.fromCharCode(parseInt(byte.slice(1), 16))
}

/**
 * Decodes well-formed escapes and keeps the rest as text. Never by catching an exception, which is the slowest way.
 * Few escapes are decoded one by one; many are decoded faster at once.
 */
function decode (text: string): string {
  if (!text.includes('%')) return text
  const isDecodedWhole = !FEW_ESCAPES.test(text) && WELL_FORMED.test(text)
  return (isDecodedWhole ? decodeURIComponent(text) : text.replace(ENCODED, decodeURIComponent)).toLowerCase()
}

interface Reading {
  /** The form with every segment in normal form. */
  readonly normal: string
  /**
   * Its path, and the paths to both ends of each segment that is empty or not in normal form: a reader that keeps it
   * sees another segment there, which belongs to no prefix below its parent, and one that cuts at `;`, `?` or `#` stops
   * there.
   */
  readonly paths: readonly Path[]
}

/** Reads forms as the most lenient reader does. Forms of one target share most segments and paths. */
class LenientReader {
  readonly #root = new Path('')
  readonly #names = new Map<string, readonly string[] | null>()

  /** @returns `null` for a form with a dot segment, or with too many segments that are not in normal form */
  read (form: string): Reading | null {
    const normal: string[] = []
    const paths: Path[] = []
    let path = this.#root
    let odd = 0
    for (const segment of form.split('/')) {
      const names = this.#namesIn(segment)
      if (names === null) return null
      const isOdd = names[0] !== segment // a segment with several names equals none of them
      if (isOdd) odd += names.length
      if (odd > MAX_ODD) return null
      if (isOdd || (segment === '' && normal.length > 0)) paths.push(path)
      for (const name of names) {
        normal.push(name)
        path = path.below(name)
        if (isOdd) paths.push(path)
      }
    }
    paths.push(path)
    return { normal: normal.join('/'), paths }
  }

  #namesIn (segment: string): readonly string[] | null {
    let names = this.#names.get(segment)
    if (names === undefined) {
      names = namesIn(foldUnicode(segment), MAX_ODD + 1)
      this.#names.set(segment, names)
    }
    return names
  }
}

/** A node in the tree of possible paths. Its text is built, and hashed, once for all forms. */
class Path {
  readonly text: string
  readonly #below = new Map<string, Path>()

  constructor (text: string) {
    this.text = text
  }

  below (name: string): Path {
    if (name === '') return this
    let path = this.#below.get(name)
    if (path === undefined) {
      path = new Path(`${this.text}/${name}`)
      this.#below.set(name, path)
    }
    return path
  }
}

/** Some readers end the authority of `http://host?next=/admin` at the question mark, others at the slash. */
function withoutScheme (target: string): readonly string[] {
  return SCHEME.test(target) ? [withoutAuthority(target), target.replace(AUTHORITY_TO_SLASH, '')] : []
}

// Parts that make a reader decode again or see other segments.
const AMBIGUOUS_PARTS = /%25|%2f|%5c|\\|\/\/|;/gi

function ambiguousPartsIn (text: string): number {
  return text.match(AMBIGUOUS_PARTS)?.length ?? 0
}

function slashesIn (text: string): number {
  let count = 0
  for (let at = text.indexOf('/'); at !== -1; at = text.indexOf('/', at + 1)) count++
  return count
}

function cutAt (text: string, mark: string): string {
  const at = text.indexOf(mark)
  return at === -1 ? text : text.slice(0, at)
}
