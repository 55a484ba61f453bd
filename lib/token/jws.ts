/** Parses a compact JWS strictly (RFC 7515, section 7.1). Nothing here is verified yet. */
import { TokenInvalidError } from '../errors.js'
import { isObject } from '../util/is-object.js'
import { isKid } from '../util/kid.js'

/** A parsed token, before its signature is checked. */
export interface UnverifiedJws {
  readonly kid: string
  readonly payload: Readonly<Record<string, unknown>>
  /** The text that is signed. */
  readonly signed: string
  readonly signature: Buffer
}

/** Node rejects header blocks over 16 KiB by default, so a request cannot contain a longer token. */
export const MAX_LENGTH = 16_384

const TYP = /^(?:application\/)?jwt$/i

// Extensions that change how a token is parsed. Access uses none of them.
const FOREIGN_HEADERS = ['crit', 'b64', 'zip', 'cty']

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Parses tokens. All tokens of one key have the same header, so the last valid one is not parsed again. */
export class JwsParser {
  #lastHeader = ''
  #lastKid = ''

  /**
   * Parses a compact JWS of the form that Access uses: RS256, with a `kid`, its payload a JSON object.
   * @throws {TokenInvalidError} for anything else.
   */
  parse (token: string): UnverifiedJws {
    if (token.length > MAX_LENGTH) throw new TokenInvalidError('malformed')
    const { 0: header, 1: payload, 2: signature, length } = token.split('.', 4)
    if (!header || !payload || !signature || length > 3) throw new TokenInvalidError('malformed')
    return {
      kid: this.#readKid(header),
      payload: readJsonObject(payload),
      signed: token.slice(0, -signature.length - 1),
      signature: decodeCanonical(signature)
    }
  }

  #readKid (header: string): string {
    if (header !== this.#lastHeader) {
      this.#lastKid = readKid(readJsonObject(header))
      this.#lastHeader = header
    }
    return this.#lastKid
  }
}

function readKid (header: Readonly<Record<string, unknown>>): string {
  if (header['alg'] !== 'RS256') throw new TokenInvalidError('algorithm')
  if (!isPlainHeader(header)) throw new TokenInvalidError('header')
  if (!isKid(header['kid'])) throw new TokenInvalidError('kid')
  return header['kid']
}

/** Whether a header has no members that Access does not send. It sends `typ: "JWT"` or no `typ`. */
export function isPlainHeader (header: Readonly<Record<string, unknown>>): boolean {
  const typ = header['typ']
  return (typ === undefined || (typeof typ === 'string' && TYP.test(typ))) &&
    !FOREIGN_HEADERS.some(name => Object.hasOwn(header, name))
}

/** @throws {TokenInvalidError} for a part that is not canonical base64url of a JSON object. */
export function readJsonObject (part: string): Readonly<Record<string, unknown>> {
  const value = parseJson(part)
  if (!isObject(value)) throw new TokenInvalidError('malformed')
  return value
}

function parseJson (part: string): unknown {
  const bytes = decodeCanonical(part)
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch {
    throw new TokenInvalidError('malformed')
  }
}

/**
 * Decodes canonical base64url only: with blanks, padding or unused last bits one token would have many spellings.
 * @throws {TokenInvalidError} for anything else.
 */
function decodeCanonical (part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.toString('base64url') !== part) throw new TokenInvalidError('malformed')
  return bytes
}
