/** Reads the keys that can sign tokens from a published JWK Set (RFC 7517). */
import { KeyObject, type webcrypto } from 'node:crypto'
import type { JWK } from 'jose'
import { isObject } from '../util/is-object.js'
import { isKid } from '../util/kid.js'

export interface PublishedKey {
  /** Distinguishes two keys with one `kid`. */
  readonly fingerprint: string
  readonly key: KeyObject
}

export type PublishedKeys = ReadonlyMap<string, PublishedKey>

const MAX_KEYS = 32
// 2048 bits, the minimum of RFC 7518, section 3.3.
const LEAST_MODULUS = 2n ** 2047n

type RsaKey = JWK & { kid: string, n: string, e: string }

/**
 * Reads the usable keys from a JWK Set: RSA public keys for signatures, one for each `kid`. Other members are left
 * out, so that a broken one does not make the good keys unusable.
 * @throws {Error} when the text is not a JWK Set or has no usable key.
 */
export async function readKeys (text: string): Promise<PublishedKeys> {
  const keys = new Map<string, PublishedKey>()
  const contradicted = new Set<string>()
  for (const jwk of readMembers(text).slice(0, MAX_KEYS)) {
    const published = await readKey(jwk)
    if (published === null) continue
    const { kid, ...key } = published
    if (keys.has(kid) && keys.get(kid)!.fingerprint !== key.fingerprint) contradicted.add(kid)
    keys.set(kid, key)
  }
  // A token cannot say which of two different keys with one `kid` it means, so both are ignored.
  for (const kid of contradicted) keys.delete(kid)
  if (keys.size === 0) throw new Error('the answer has no usable key')
  return keys
}

/** Whether a JWK Set has a usable key, without importing it. */
export function hasUsableKey (set: { readonly keys?: unknown }): boolean {
  return Array.isArray(set.keys) && set.keys.some(jwk => isSigningKey(jwk) && isStrong(jwk))
}

function readMembers (text: string): unknown[] {
  const keys = parseJson(text)?.keys
  if (!Array.isArray(keys)) throw new Error('the answer is not a JWK Set')
  return keys
}

function parseJson (text: string): { keys?: unknown } | null {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the answer is not JSON') // without the parser's message, which quotes the answer
  }
}

async function readKey (jwk: unknown): Promise<PublishedKey & { kid: string } | null> {
  if (!isSigningKey(jwk) || !isStrong(jwk)) return null
  const { kid, n, e } = jwk
  // Loaded with the first keys, so that the start does not have to wait for it.
  const { importJWK } = await import('jose/key/import')
  const key = await importJWK({ kty: 'RSA', n, e }, 'RS256') as webcrypto.CryptoKey
  return { kid, fingerprint: `${n}.${e}`, key: KeyObject.from(key) }
}

function isSigningKey (value: unknown): value is RsaKey {
  if (!isObject(value)) return false
  const jwk = value as JWK
  return jwk.kty === 'RSA' && jwk.d === undefined && isKid(jwk.kid) && typeof jwk.n === 'string' &&
    typeof jwk.e === 'string' &&
    (jwk.alg === undefined || jwk.alg === 'RS256') &&
    (jwk.use === undefined || jwk.use === 'sig') &&
    (jwk.key_ops === undefined || (Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')))
}

/** The product of two odd primes is odd, and so is any exponent that has an inverse. */
function isStrong (jwk: RsaKey): boolean {
  const modulus = toInteger(jwk.n)
  const exponent = toInteger(jwk.e)
  return modulus >= LEAST_MODULUS && modulus % 2n === 1n && exponent >= 3n && exponent % 2n === 1n
}

/** RFC 7518, section 2: Base64urlUInt. */
function toInteger (text: string): bigint {
  return BigInt(`0x0${Buffer.from(text, 'base64url').toString('hex')}`)
}
