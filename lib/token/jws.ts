/** Parses a compact JWS strictly (RFC 7515, section 7.1). Nothing here is verified yet. */
import { TokenInvalidError } from '../errors.js'
import { isObject } from '../util/is-object.js'
import { isKid } from '../util/kid.js'
import { loggable } from '../util/loggable.js'

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
    if (token.length > MAX_LENGTH) throw malformed(`at most ${MAX_LENGTH} characters`, `${token.length} characters`)
    const { 0: header, 1: payload, 2: signature, length } = token.split('.', 4)
    if (!header || !payload || !signature || length > 3) {
      throw malformed('three parts with dots between them', `${token.length} characters`)
    }
    return {
      kid: this.#readKid(header),
      payload: readJsonObject(payload, 'payload'),
      signed: token.slice(0, -signature.length - 1),
      signature: decodeCanonical(signature, 'signature')
    }
  }

  #readKid (header: string): string {
    if (header !== this.#lastHeader) {
      this.#lastKid = readKid(readJsonObject(header, 'header'))
      this.#lastHeader = header
    }
    return this.#lastKid
  }
}

function readKid (header: Readonly<Record<string, unknown>> & { alg?: unknown, kid?: unknown }): string {
  const { alg, kid } = header
  if (alg !== 'RS256') throw new TokenInvalidError('algorithm', { expected: 'RS256', received: loggable(alg) })
  if (!isPlainHeader(header)) throw new TokenInvalidError('header')
  if (!isKid(kid)) throw new TokenInvalidError('kid', { expected: 'a kid', received: loggable(kid) })
  return kid
}

/** Whether a header has no members that Access does not send. It sends `typ: "JWT"` or no `typ`. */
export function isPlainHeader (header: Readonly<Record<string, unknown>>): boolean {
  const typ = header['typ']
  return (typ === undefined || (typeof typ === 'string' && TYP.test(typ))) &&
    !FOREIGN_HEADERS.some(name => Object.hasOwn(header, name))
}

/** @throws {TokenInvalidError} for a part that is not canonical base64url of a JSON object. */
export function readJsonObject (part: string, name: string): Readonly<Record<string, unknown>> {
  const bytes = decodeCanonical(part, name)
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes))
  } catch {
    throw malformed('JSON', name)
  }
  if (!isObject(value)) throw malformed('a JSON object', name)
  return value
}

/**
 * Decodes canonical base64url only: with blanks, padding or unused last bits one token would have many spellings.
 * @throws {TokenInvalidError} for anything else.
 */
function decodeCanonical (part: string, name: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.toString('base64url') !== part) throw malformed('base64url', name)
  return bytes
}

/** @param received the part of the token that is wrong, or its length */
function malformed (expected: string, received: string): TokenInvalidError {
  return new TokenInvalidError('malformed', { expected, received })
}
