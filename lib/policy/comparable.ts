/** Compares texts: whether they are equal, or only so similar that it is not certain. */
import { domainToUnicode } from 'node:url'

/** The values of a rule, prepared for comparison. */
export class TextSet {
  readonly #exact: ReadonlySet<string>
  readonly #skeletons: ReadonlySet<string>

  /**
   * @param exact keys of equal values
   * @param similar keys of values that cannot be told apart reliably
   */
  constructor (exact: readonly string[], similar: readonly string[] = []) {
    this.#exact = new Set(exact.map(foldAsciiCase))
    this.#skeletons = new Set([...exact, ...similar].map(skeletonOf))
  }

  /**
   * `true` for a value that is equal, ignoring ASCII case. `undefined` for one that is another spelling of the same
   * text: systems disagree on whether such addresses or names are equal.
   */
  has (value: string): boolean | undefined {
    const folded = foldAsciiCase(value)
    if (this.#exact.has(folded)) return true
    return this.#skeletons.has(isPlain(value) ? folded : skeletonOf(value)) ? undefined : false
  }
}

/** Only ASCII: Unicode case folding turns some letters of other scripts into ASCII letters. */
function foldAsciiCase (text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]/g, letter => letter.toLowerCase()) : text
}

/**
 * One form for all ways to write a text: Unicode case, composition and compatibility forms, invisible characters,
 * punycode and the root's dot of a domain.
 * @see Unicode Standard Annex 15; RFC 3492
 */
export function skeletonOf (text: string): string {
  if (isPlain(text)) return foldAsciiCase(text)
  return fold(fold(text).replace(/xn--[a-z0-9-]+/g, label => domainToUnicode(label) || label)).replace(/\.+$/, '')
}

/** Whether only ASCII case can differ: the fast path of nearly every request. */
function isPlain (text: string): boolean {
  return !/[^ -~]|[xX][nN]--|\.$/.test(text)
}

/** Folds case by way of both cases: "ẞ" and "ß" both become "SS", and a dotted "İ" loses its dot. */
function fold (text: string): string {
  return text.normalize('NFKC').replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .toLowerCase().toUpperCase().toLowerCase().replaceAll('i\u0307', 'i')
    .normalize('NFKC').replaceAll('\u3002', '.')
}
