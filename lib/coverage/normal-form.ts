/** The normal form of a path's segments: what is left when every reader has dropped what it does not tell apart. */

const SEPARATORS = /[/\\]/

/**
 * The names that the most lenient reader finds in a folded segment. It takes a backslash for a separator.
 * @param limit how many of them are looked at
 * @returns `null` when one of them is a dot segment
 */
export function namesIn (segment: string, limit: number): readonly string[] | null {
  if (!ODD.test(segment)) return [segment]
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

// What some reader drops or takes for an end, and dots at the end or alone.
const ODD = /[/;?#\\\s\p{Cc}\p{DI}]|\.$/u
const INVISIBLE = /[\p{Cc}\p{DI}]+/gu
const BLANK = /\s/
const BLANKS = /[\s\p{Cc}\p{DI}]+/gu
const DOTS_AND_BLANKS = /^[.\s\p{Cc}\p{DI}]*$/u

/** A segment up to its first `;`, `?` or `#`. */
function cutAtMark (text: string): string {
  const at = text.search(/[;?#]/)
  return at === -1 ? text : text.slice(0, at)
}

/** Whether a reader that drops blanks resolves this segment, cut at its mark (RFC 3986, section 5.2.4). */
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

/** Where the dots and blanks at the end begin. Not by a regular expression, which would try each of a long row of dots. */
function endOf (name: string): number {
  let end = name.length
  while (end > 0 && (name.charCodeAt(end - 1) === DOT || BLANK.test(name[end - 1]!))) end--
  return end
}

/** Compatibility forms, then case by way of the upper case, where more letters meet. */
export function foldUnicode (text: string): string {
  return isPrintableAscii(text) ? text : text.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

/** Whether only the case of a text can be folded. */
export function isPrintableAscii (text: string): boolean {
  return /^[ -~]*$/.test(text)
}
