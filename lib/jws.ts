/** A compact JWS taken apart, strictly (RFC 7515, section 7.1). Nothing here is verified yet. */
import { TokenInvalidError } from './errors.js'

/** What a token says of itself before its signature is checked. */
export interface UnverifiedJws {
  readonly kid: string
  readonly payload: Readonly<Record<string, unknown>>
}

// Node refuses header blocks over 16 KiB by default, so no longer token can come with a request.
const MAX_LENGTH = 16_384

// Canonical base64url: a last character with stray bits would give one token many spellings.
const PART = '(?:[\\w-]{4})*(?:[\\w-]{4}|[\\w-]{2}[AEIMQUYcgkosw048]|[\\w-][AQgw])'
const COMPACT_JWS = new RegExp(`^(${PART})\\.(${PART})\\.${PART}$`)

const KID = /^[\x21-\x7e]{1,128}$/
const TYP = /^(?:application\/)?jwt$/i

// Extensions that change how a token is to be read. Access uses none of them.
const FOREIGN_HEADERS = ['crit', 'b64', 'zip', 'cty']

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads a compact JWS that could be one of Access's: RS256, with a `kid`, its payload a JSON object.
 * @throws {TokenInvalidError} for anything else.
 */
export function readJws (token: string): UnverifiedJws {
  if (typeof token !== 'string' || token.length > MAX_LENGTH) throw new TokenInvalidError('malformed')
  const parts = COMPACT_JWS.exec(token)
  if (parts === null) throw new TokenInvalidError('malformed')
  const header = readJsonObject(parts[1]!)
  const payload = readJsonObject(parts[2]!)
  if (header['alg'] !== 'RS256') throw new TokenInvalidError('algorithm')
  if (!isPlainHeader(header)) throw new TokenInvalidError('header')
  if (!isKid(header['kid'])) throw new TokenInvalidError('kid')
  return { kid: header['kid'], payload }
}

/** Whether this could be the `kid` of a key: text of 1 to 128 visible ASCII characters. */
export function isKid (value: unknown): value is string {
  return typeof value === 'string' && KID.test(value)
}

/** Access sends `typ: "JWT"` or none at all. */
function isPlainHeader (header: Readonly<Record<string, unknown>>): boolean {
  const typ = header['typ']
  return (typ === undefined || (typeof typ === 'string' && TYP.test(typ))) &&
    !FOREIGN_HEADERS.some(name => Object.hasOwn(header, name))
}

function readJsonObject (part: string): Readonly<Record<string, unknown>> {
  const value = parseJson(part)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TokenInvalidError('malformed')
  return value as Record<string, unknown>
}

function parseJson (part: string): unknown {
  try {
    return JSON.parse(utf8.decode(Buffer.from(part, 'base64url')))
  } catch {
    throw new TokenInvalidError('malformed')
  }
}
