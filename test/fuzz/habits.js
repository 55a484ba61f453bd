// What readers do to a path before they look up what it names. Each habit is one step of a real reader;
// it returns the text unchanged where it finds nothing to do. Shares no code with the library.
import path from 'node:path'

/** @typedef {(text: string) => string} Habit */

const BASE = 'http://upstream'
const CONTROLS = /\p{Cc}+/gu
const IGNORABLE = /\p{Default_Ignorable_Code_Point}+/gu
const NOT_ASCII = /[^\0-\x7f]/
const RUNS = /(?:%[0-9a-f]{2})+/gi
const BARE_PERCENT = /%(?![0-9a-f]{2})/i
const OVERLONG = /%(?:c[01]|e0|f0|f[89a-d])/i

/** The bytes of a text once its percent-encodings are undone. @param {string} text */
function bytesOf (text) {
  const bytes = Buffer.from(text)
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    const hex = bytes[i] === 0x25 ? bytes.toString('latin1', i + 1, i + 3) : ''
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes[length++] = Number.parseInt(hex, 16)
      i += 2
    } else {
      bytes[length++] = /** @type {number} */ (bytes[i])
    }
  }
  return bytes.subarray(0, length)
}

let remembered = { text: '', decoded: /** @type {string | null} */ (null) }

/** `decodeURIComponent`; null where the text is malformed. Exceptions cost the most. @param {string} text */
function decodeStrictly (text) {
  if (text === remembered.text) return remembered.decoded
  let decoded = null
  try {
    if (!BARE_PERCENT.test(text)) decoded = decodeURIComponent(text)
  } catch {}
  remembered = { text, decoded }
  return decoded
}

/** As `querystring.unescape`, Go, Python and Java decode: malformed bytes become U+FFFD. @type {Habit} */
function decode (text) {
  return text.includes('%') ? decodeStrictly(text) ?? bytesOf(text).toString() : text
}

/** Decodes what is well-formed and keeps the rest as text. @type {Habit} */
function decodeWellFormed (text) {
  return text.includes('%') ? decodeStrictly(text) ?? text.replace(RUNS, run => decodeStrictly(run) ?? run) : text
}

/** Decodes byte by byte, and knows nothing of UTF-8: only ASCII comes out. @type {Habit} */
function decodeAscii (text) {
  return text.includes('%') ? text.replace(/%[0-7][0-9a-f]/gi, asCharacter) : text
}

/** RFC 3986, 6.2.2.2: a normalizer decodes unreserved characters only. @type {Habit} */
function decodeUnreserved (text) {
  return text.includes('%') ? text.replace(/%(?:2[de]|3\d|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/gi, asCharacter) : text
}

/** @param {string} code */
function asCharacter (code) {
  return String.fromCharCode(Number.parseInt(code.slice(1), 16))
}

/** Keeps `%2f`, `%3b`, `%3f`, `%23` and others. @type {Habit} */
function decodeUri (text) {
  if (!text.includes('%') || BARE_PERCENT.test(text)) return text
  try {
    return decodeURI(text)
  } catch {
    return text
  }
}

/** Latin-1 bytes, and `%u0061` as IIS reads it. @type {Habit} */
function unescapeLatin (text) {
  return text.includes('%') ? unescape(text) : text
}

/**
 * A UTF-8 decoder that accepts more bytes than a character needs: `%c0%af` is a slash (CVE-2000-0884, CVE-2008-2938).
 * @type {Habit}
 */
function decodeOverlong (text) {
  if (!OVERLONG.test(text)) return text
  const bytes = bytesOf(text)
  let out = ''
  for (let i = 0; i < bytes.length;) {
    const lead = /** @type {number} */ (bytes[i++])
    const more = lead < 0xc0 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf8 ? 3 : lead < 0xfc ? 4 : 5
    let code = more === 0 ? lead : lead & (0x3f >> more)
    let missing = more
    for (; missing > 0 && (Number(bytes[i]) & 0xc0) === 0x80; missing--) code = code * 64 + (Number(bytes[i++]) & 0x3f)
    out += missing > 0 || code > 0x10ffff ? '\ufffd' : String.fromCodePoint(code)
  }
  return out
}

/** The WHATWG parser: resolves `%2e%2e`, reads `\` as `/`, drops TAB, CR and LF, cuts at `?` and `#`. @type {Habit} */
function parseUrl (text) {
  try {
    return new URL(text, BASE).pathname
  } catch {
    return text
  }
}

/** The same behind a prefix of its own, as `fetch(upstream + request.url)`. @type {Habit} */
function parseJoinedUrl (text) {
  return /^[/\\]/.test(text) ? new URL(BASE + text).pathname : text
}

/** As a file server joins a root and a path. @type {Habit} */
function normalizePosix (text) {
  return path.posix.join('/', text)
}

/** @type {Habit} */
function normalizeWindows (text) {
  return path.win32.normalize(text).replaceAll('\\', '/')
}

/**
 * @param {RegExp} delimiter
 * @returns {Habit}
 */
const cutAt = delimiter => text => {
  const at = text.search(delimiter)
  return at === -1 ? text : text.slice(0, at)
}

/** Windows forgets dots and blanks at the end of a name. @type {Habit} */
function trimNames (text) {
  if (!/[. ](?:\/|$)/.test(text)) return text
  return text.replace(/[^/]+/g, name => /^\.{1,2}$/.test(name) ? name : name.replace(/[. ]+$/, ''))
}

/** @type {Habit} */
function trimSegments (text) {
  return /\s/.test(text) ? text.split('/').map(segment => segment.trim()).join('/') : text
}

/** @type {readonly (readonly [name: string, habit: Habit])[]} */
export const HABITS = [
  ['decode', decode],
  ['URL', parseUrl],
  ['joined URL', parseJoinedUrl],
  ['posix.normalize', normalizePosix],
  ['lower case', text => text.toLowerCase()],
  ['NFKC', text => NOT_ASCII.test(text) ? text.normalize('NFKC') : text],
  ['drop controls', text => text.replace(CONTROLS, '')],
  ['drop parameters', text => text.includes(';') ? text.replace(/;[^/]*/g, '') : text],
  ['cut at ;', cutAt(/;/)],
  ['cut at NUL', cutAt(/\0/)],
  ['cut at ?', cutAt(/\?/)],
  ['cut at #', cutAt(/#/)],
  ['merge slashes', text => text.includes('//') ? text.replace(/\/{2,}/g, '/') : text],
  ['backslash', text => text.replaceAll('\\', '/')],
  ['win32.normalize', normalizeWindows],
  ['decodeURI', decodeUri],
  ['decode unreserved', decodeUnreserved],
  ['decode ASCII', decodeAscii],
  ['decode well-formed', decodeWellFormed],
  ['trim names', trimNames],
  ['trim segments', trimSegments],
  ['fold case', text => text.toUpperCase().toLowerCase()],
  ['overlong', decodeOverlong],
  ['unescape', unescapeLatin],
  ['drop ignorable', text => NOT_ASCII.test(text) ? text.replace(IGNORABLE, '') : text]
]
