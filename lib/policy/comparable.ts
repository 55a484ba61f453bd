/** When two texts are the same, and when it cannot be told whether they are. */
import { domainToUnicode } from 'node:url'

/** Values of a rule, ready to be compared with. */
export class TextSet {
  readonly #exact: ReadonlySet<string>
  readonly #skeletons: ReadonlySet<string>

  /**
   * @param exact what is equal
   * @param similar what only cannot be told apart
   */
  constructor (exact: readonly string[], similar: readonly string[] = []) {
    this.#exact = new Set(exact.map(foldAsciiCase))
    this.#skeletons = new Set([...exact, ...similar].map(skeletonOf))
  }

  /**
   * `true` for a value that differs in nothing but the case of ASCII letters; `undefined` for one that differs
   * only by how the same text can be written: systems disagree on whether such addresses or names are one.
   */
  has (value: string): boolean | undefined {
    const folded = foldAsciiCase(value)
    if (this.#exact.has(folded)) return true
    return this.#skeletons.has(isPlain(value) ? folded : skeletonOf(value)) ? undefined : false
  }
}

/** ASCII alone: Unicode folds letters of other scripts into ours. */
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

/** Whether nothing but ASCII case can differ: the fast path of nearly every request. */
function isPlain (text: string): boolean {
  return !/[^ -~]|[xX][nN]--|\.$/.test(text)
}

/** Case is folded by way of both cases: "ẞ" and "ß" meet in "SS", and a dotted "İ" leaves its dot behind. */
function fold (text: string): string {
  return text.normalize('NFKC').replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .toLowerCase().toUpperCase().toLowerCase().replaceAll('i\u0307', 'i')
    .normalize('NFKC').replaceAll('\u3002', '.')
}
