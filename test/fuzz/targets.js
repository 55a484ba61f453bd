// Request targets: hostile ones, which try to name `/admin` to some reader and not to the guard, and harmless ones.

/** @typedef {import('./random.js').Random} Random */

/** Undoing this many encodings is what an attacker hopes for. */
const DEPTHS = [1, 1, 1, 1, 2, 2, 3, 4]

/** Characters that become these by NFKC, in a Latin-1 byte or by case. */
const LOOKALIKES = /** @type {Readonly<Record<string, readonly string[]>>} */ ({
  a: ['ａ', 'ᵃ', 'ª', 'ⓐ', 'Ａ', '𝐚'],
  d: ['ｄ', 'ⅾ', 'ⅆ', 'Ｄ'],
  m: ['ｍ', 'ⅿ', 'Ⓜ', '𝓶'],
  i: ['ｉ', 'ⅰ', 'ı', 'İ', 'ⁱ', 'Ⅰ'],
  n: ['ｎ', 'ⁿ', 'ℕ', 'Ｎ'],
  '.': ['．', '․', '﹒'],
  '/': ['／'],
  '\\': ['＼', '﹨'],
  ';': ['；', ';', '﹔'],
  '?': ['？'],
  '#': ['＃'],
  '%': ['％', '﹪']
})

const CONTROLS = ['\t', '\n', '\r', '\0', '\x01', '\x1f', '\x7f', '\x0b']
const IGNORABLE = ['\u00ad', '\u200b', '\u200d', '\ufeff', '\u034f', '\u2060', '\ufe0f']
const SEPARATORS = [
  '\\', '//', '/./', '/x/../', '/.//', '\\\\', '/;/', '/;x=1/', '/ /', '///', '/x/..;/', '/x/.. /', '/x/..\t/', '/\t/',
  '/.;/', '℀/../', '/…/../'
]
const ENDS = ['', ';', ';x', '.', ' ', '\0', '\u00a0', '?', '#', '\t', ';=', '. ', '..', '\u3000']
const BEGINNINGS = [' ', '\t', '\0', ';', '.', './', ';/', '/', '//host/']
const DOTS = [
  'x/../', './', '%2e/', 'x/%2e%2e/', 'x/..%2f', 'x%2f../', '.%2e/x/', '..;/', '..%3b/', '.%09./', '..%00/', '..%20/',
  '..%23/'
]
const BEFORE = [
  '', '', '', '/x/..', '/public/..', '/a/b/../..', '//host', '//host/', '/', '/.', '/;', '/..', '/a%2fb/..',
  '/a%2fb/../..', 'http://any', 'HTTP://u:p@any:80', 'http://any?', 'http://any#', 'x://any', '/x;', '/x;/..', '/...',
  '/x/...', '/ ', '//;', '/ /host', '/./host', '/x/..//host', '/a\\b/..', '/x?/..', '/x#/..', '/%', '/%zz', '/%ff/..',
  '/é', '//host\\', '/:x', '/x:/..', '/http:/', '/http://any', '/http:/any', '/;/any', '///', '/\\host', '\\/host',
  '/x/./..', '/%2e%2e', '/administrator/..', '/b', '/b/..', '/files/../..', '/x/y/z/../../..', '//a//b', '//../x',
  '/%2f', '/%2fhost', '/%5c%5chost'
]
const AFTER = [
  '', '/', '/x', '/x', '/x', '/z', '/x/y', '/y/../x', '/./x', '/x/', '.', '. .', ' ', ';', ';a=1', ';/x', '?x', '#f',
  '/x?y', '/x#f', '/x;a', '/x%00.png', '\0', '\0/x', '/..', '/../x', '/../admin/x', '/..%2fx', '/x%', '/x%zz', '/x%ff',
  '/%c3', '%', '%ff', '\\x', '//x', '/x/..', '?/..', ';/..', '%2fx', '%5cx', '/x/../../admin', '/é', '/\ufdfa',
  '/x/../../../../admin/z', '/%c0%ae', '/…', ' /x', './x', '../x', '\t/x', '::x'
]
const JUNK = [
  '%', '%2', '%zz', '%ff', '%c3', '%e2%82', '%25', ';', '.', '..', '/', '//', '\\', '\0', '\t', ' ', '#', '?', 'é',
  '%2f', '%5c', '%252f', '%2e', '%3b', '%3f', '%23', '%00', '+', '&', '=', ':', '@', '!', '~', '*', '|', '^', '"',
  '%u002f', '%u0061', '%c0%af', '%c0%ae', '%e0%80%af', 'x', 'admin', '/admin', '/../', '/..;/', '/.', '%EF%B7%BA',
  '％', '℀', '⁈', '⩴', '‥', '…', '\u00a0', '\u3000', '\u0085', '/x'
]

/** A target that some readers take for `/admin` or below. @param {Random} random */
export function hostile (random) {
  const parts = [random.pick(BEFORE), '/admin', random.pick(AFTER)]
  if (random.chance(0.25)) parts.unshift(random.pick(BEFORE))
  if (random.chance(0.1)) parts.splice(random.below(3), 0, random.pick(JUNK))
  const tricks = Array.from({ length: 1 + random.below(4) }, () => random.pick(TRICKS))
  const often = random.pick([0.05, 0.15, 0.15, 0.4, 0.9])
  let text = ''
  for (const part of parts) {
    for (const character of part) text += random.chance(often) ? random.pick(tricks)(character, random) : character
  }
  if (random.chance(0.15)) text = mutate(text, random)
  return sendable(text, random)
}

/** @typedef {(character: string, random: Random) => string} Trick spells one character in another way */

/** @type {readonly Trick[]} */
const TRICKS = [
  spellEncoded, spellEncoded, spellEncoded, spellEncoded,
  spellSeparator, spellSeparator,
  (character, random) => '/.%'.includes(character) ? spellEncoded(character, random) : character,
  (character, random) => character === '/' ? encode(random.pick(['/', '\\']), random) : character,
  character => character.toUpperCase(),
  (character, random) => encode(random.pick(LOOKALIKES[character] ?? [character]), random),
  (character, random) => character + encode(random.pick(CONTROLS), random),
  (character, random) => character + encode(random.pick(random.chance(0.5) ? ['\t', '\n', '\r'] : IGNORABLE), random),
  (character, random) => character === '/' ? encode(random.pick(ENDS), random) + character : character,
  (character, random) => character === '/' ? character + encode(random.pick(BEGINNINGS), random) : character,
  (character, random) => nest(overlong(character, random), random),
  (character, random) => random.pick([`%u00${hex(character.charCodeAt(0), random)}`, character]),
  // `%aa` is a feminine ordinal in Latin-1, and an `a` by NFKC.
  (character, random) => nest(`%${hex(character === 'a' ? 0xaa : character.charCodeAt(0) & 0xff, random)}`, random),
  // An encoding of which only a digit is encoded: `%%36%31`.
  (character, random) => `%${encode(hex(character.charCodeAt(0) & 0x7f, random), random)}`,
  (character, random) => character === '/' ? '/' + random.pick(DOTS) : character
]

/** @type {Trick} */
function spellEncoded (character, random) {
  return encode(character, random)
}

/** @type {Trick} */
function spellSeparator (character, random) {
  return character === '/' ? encode(random.pick(SEPARATORS), random) : character
}

/** @param {string} text @param {Random} random */
function mutate (text, random) {
  const at = random.below(text.length + 1)
  const end = Math.min(text.length, at + 1 + random.below(4))
  switch (random.below(4)) {
    case 0: return text.slice(0, at) + text.slice(end)
    case 1: return text.slice(0, at) + encode(random.pick(JUNK), random) + text.slice(at)
    case 2: return text.slice(0, end) + text.slice(at)
    default: return text.slice(0, at) + random.pick(JUNK) + text.slice(end)
  }
}

/** Percent-encodes once or several times over. @param {string} text @param {Random} random */
function encode (text, random) {
  return nest(escape(text, random), random)
}

/** @param {string} text @param {Random} random */
function escape (text, random) {
  return [...Buffer.from(text)].map(byte => `%${hex(byte, random)}`).join('')
}

/** @param {string} encoded @param {Random} random */
function nest (encoded, random) {
  for (let depth = random.pick(DEPTHS); depth > 1; depth--) encoded = encoded.replaceAll('%', '%25')
  return encoded
}

/** @param {number} byte @param {Random} random */
function hex (byte, random) {
  const digits = byte.toString(16).padStart(2, '0')
  return random.chance(0.5) ? digits.toUpperCase() : digits
}

/** @param {string} character @param {Random} random */
function overlong (character, random) {
  const code = character.charCodeAt(0)
  if (code > 0x7f) return character
  return random.chance(0.7)
    ? `%${hex(0xc0 | code >> 6, random)}%${hex(0x80 | code & 0x3f, random)}`
    : `%${hex(0xe0, random)}%${hex(0x80 | code >> 6, random)}%${hex(0x80 | code & 0x3f, random)}`
}

/** What HTTP does not carry raw is encoded once. @param {string} text @param {Random} random */
function sendable (text, random) {
  const target = text.replace(/[^\x21-\x7e]+/g, raw => escape(raw, random))
  return /^(?:\/|[a-z][a-z\d+.-]*:\/\/)/i.test(target) ? target : `/${target}`
}

const WORDS = [
  'files', 'public', 'wiki', 'search', 'x', 'administrator', 'admi', 'admins', 'my-admin', 'api', 'v1', 'index.html',
  'app.min.js', '.well-known', '_next', '2024', 'ADMIN2', 'café', 'naïve', '日本語', 'Ünïcode',
  'привет', '😀', 'DOMAIN'
]
const QUERIES = [
  '?q=/admin/x', '?a=1&b=%2e%2e%2fadmin', '?/../admin', '?', '?next=//admin', '?x=%', '?to=http://any/admin', '?%61dmin'
]
const PUNCTUATION = [...'!$&\'()*+,:=@-_~']
const ENCODED = [...' "#$%&+,/:;<=>?@[\\]^`{|}']

/** A target as applications use them: not guarded and not ambiguous beside `/admin`. @param {Random} random */
export function harmless (random) {
  const segments = Array.from({ length: 1 + random.below(5) }, (_none, i) => harmlessSegment(random, i === 0))
  const end = random.chance(0.2) ? '/' : ''
  const query = random.chance(0.3) ? random.pick(QUERIES) : ''
  return `/${segments.join('/')}${end}${query}`
}

/** @param {Random} random @param {boolean} isFirst */
function harmlessSegment (random, isFirst) {
  let segment = isFirst ? `p-${plain(random)}` : plain(random)
  for (let more = random.below(4); more > 0; more--) {
    segment += random.chance(0.5) ? random.pick(PUNCTUATION) : encodeURIComponent(random.pick(ENCODED))
    segment += plain(random)
  }
  return segment
}

/** @param {Random} random */
function plain (random) {
  return encodeURIComponent(random.pick(WORDS))
}
