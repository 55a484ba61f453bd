/** A compact JWS taken apart, strictly (RFC 7515, section 7.1). Nothing here is verified yet. */
import { TokenInvalidError } from '../errors.js'
import { isObject } from '../util/is-object.js'
import { isKid } from '../util/kid.js'

/** What a token says of itself before its signature is checked. */
export interface UnverifiedJws {
  readonly kid: string
  readonly payload: Readonly<Record<string, unknown>>
  /** The text that is signed. */
  readonly signed: string
  readonly signature: Buffer
}

// Node rejects header blocks over 16 KiB by default, so no longer token can come with a request.
const MAX_LENGTH = 16_384

const TYP = /^(?:application\/)?jwt$/i

// Extensions that change how a token is to be read. Access uses none of them.
const FOREIGN_HEADERS = ['crit', 'b64', 'zip', 'cty']

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

// Tokens of one key have one header, to the letter, so the last that passed need not be read again.
let passed = { header: '', kid: '' }

/**
 * Reads a compact JWS that could be one of Access's: RS256, with a `kid`, its payload a JSON object.
 * @throws {TokenInvalidError} for anything else.
 */
export function parseUnverifiedJws (token: string): UnverifiedJws {
  if (token.length > MAX_LENGTH) throw new TokenInvalidError('malformed')
  const { 0: header, 1: payload, 2: signature, length } = token.split('.', 4)
  if (!header || !payload || !signature || length > 3) throw new TokenInvalidError('malformed')
  if (header !== passed.header) passed = { header, kid: readKid(readJsonObject(header)) }
  return {
    kid: passed.kid,
    payload: readJsonObject(payload),
    signed: token.slice(0, -signature.length - 1),
    signature: decodeCanonical(signature)
  }
}

function readKid (header: Readonly<Record<string, unknown>>): string {
  if (header['alg'] !== 'RS256') throw new TokenInvalidError('algorithm')
  if (!isPlainHeader(header)) throw new TokenInvalidError('header')
  if (!isKid(header['kid'])) throw new TokenInvalidError('kid')
  return header['kid']
}

/** Access sends `typ: "JWT"` or none at all. */
function isPlainHeader (header: Readonly<Record<string, unknown>>): boolean {
  const typ = header['typ']
  return (typ === undefined || (typeof typ === 'string' && TYP.test(typ))) &&
    !FOREIGN_HEADERS.some(name => Object.hasOwn(header, name))
}

function readJsonObject (part: string): Readonly<Record<string, unknown>> {
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
 * Decodes canonical base64url alone: blanks, padding or stray last bits would give one token many spellings.
 * @throws {TokenInvalidError} for anything else.
 */
function decodeCanonical (part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.toString('base64url') !== part) throw new TokenInvalidError('malformed')
  return bytes
}
