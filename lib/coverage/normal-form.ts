/** The normal form of path segments: two segments that any server treats as equal have the same normal form. */

const SEPARATORS = /[/\\]/

/**
 * The names that the most lenient reader finds in a folded segment. It takes a backslash for a separator.
 * @param limit how many of them are looked at
 * @returns `null` when one of them is a dot segment
 */
export function namesIn (segment: string, limit: number): readonly string[] | null {
  if (!NOT_NORMAL.test(segment)) return [segment]
  const names: string[] = []
  for (const part of segment.split(SEPARATORS, limit)) {
    const head = cutAtMark(part)
    if (isDotSegment(head)) return null
    names.push(trimmed(head))
  }
  return names
}

/** A segment in normal form. */
export function normalizeSegment (segment: string): string {
  return foldUnicode(segment.toLowerCase()).split(SEPARATORS).map(part => trimmed(cutAtMark(part))).join('/')
}

// Characters that some reader drops or cuts at, and dots at the end or alone.
const NOT_NORMAL = /[/;?#\\\s\p{Cc}\p{DI}]|\.$/u
const INVISIBLE = /[\p{Cc}\p{DI}]+/gu
const BLANK = /\s/
const BLANKS = /[\s\p{Cc}\p{DI}]+/gu
const DOTS_AND_BLANKS = /^[.\s\p{Cc}\p{DI}]*$/u

/** The segment up to its first `;`, `?` or `#`. */
function cutAtMark (text: string): string {
  const at = text.search(/[;?#]/)
  return at === -1 ? text : text.slice(0, at)
}

/** Whether a reader that drops blanks takes this segment for `.` or `..` (RFC 3986, section 5.2.4). */
function isDotSegment (segment: string): boolean {
  if (!DOTS_AND_BLANKS.test(segment)) return false
  const dots = segment.replace(BLANKS, '')
  return dots === '.' || dots === '..' || (dots !== segment && dots !== '')
}

/** Without invisible characters, outer blanks and trailing dots. */
function trimmed (segment: string): string {
  const name = segment.replace(INVISIBLE, '').trim()
  return name.slice(0, endOf(name))
}

const DOT = 46

/** Where the trailing dots and blanks begin. A regular expression would take quadratic time for a long row of dots. */
function endOf (name: string): number {
  let end = name.length
  while (end > 0 && (name.charCodeAt(end - 1) === DOT || BLANK.test(name[end - 1]!))) end--
  return end
}

/** Folds compatibility forms (NFKC), then case: by way of the upper case, in which more letters become equal. */
export function foldUnicode (text: string): string {
  return isPrintableAscii(text) ? text : text.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

/** Whether nothing but case can be folded in this text. */
export function isPrintableAscii (text: string): boolean {
  return /^[ -~]*$/.test(text)
}
