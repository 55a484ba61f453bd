/** A published JWK Set read into the keys that may sign tokens (RFC 7517). */
import type { webcrypto } from 'node:crypto'
import { importJWK, type CryptoKey, type JWK } from 'jose'
import { isKid } from './jws.js'

export interface PublishedKey {
  /** Tells two keys of one `kid` apart. */
  readonly fingerprint: string
  readonly key: CryptoKey
}

export type PublishedKeys = ReadonlyMap<string, PublishedKey>

const MAX_KEYS = 32
const MIN_MODULUS_BITS = 2048

/**
 * Reads the usable keys out of a JWK Set: RSA public keys for signatures, one a `kid`. What is not
 * usable is left out, so that one broken member takes no good key with it.
 * @throws {Error} when the text is no JWK Set or holds no usable key.
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
  // Which of two different keys a token means cannot be told, so neither counts.
  for (const kid of contradicted) keys.delete(kid)
  if (keys.size === 0) throw new Error('the answer holds no usable key')
  return keys
}

function readMembers (text: string): unknown[] {
  const keys = parseJson(text)?.keys
  if (!Array.isArray(keys)) throw new Error('the answer is no JWK Set')
  return keys
}

function parseJson (text: string): { keys?: unknown } | null {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the answer is not JSON') // the parser's own message quotes the answer
  }
}

async function readKey (jwk: unknown): Promise<PublishedKey & { kid: string } | null> {
  if (!isSigningKey(jwk)) return null
  try {
    const key = await importJWK({ kty: 'RSA', n: jwk.n, e: jwk.e }, 'RS256') as CryptoKey
    return isStrong(key) ? { kid: jwk.kid, fingerprint: `${jwk.n}.${jwk.e}`, key } : null
  } catch {
    return null
  }
}

function isSigningKey (value: unknown): value is JWK & { kid: string, n: string, e: string } {
  if (typeof value !== 'object' || value === null) return false
  const jwk = value as JWK
  return jwk.kty === 'RSA' && jwk.d === undefined && isKid(jwk.kid) &&
    typeof jwk.n === 'string' && isOdd(jwk.n) && typeof jwk.e === 'string' &&
    (jwk.alg === undefined || jwk.alg === 'RS256') &&
    (jwk.use === undefined || jwk.use === 'sig') &&
    (jwk.key_ops === undefined || (Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')))
}

/** The product of two odd primes is odd, whatever else is wrong with it. */
function isOdd (n: string): boolean {
  return ((Buffer.from(n, 'base64url').at(-1) ?? 0) & 1) === 1
}

function isStrong (key: CryptoKey): boolean {
  const { modulusLength, publicExponent } = key.algorithm as webcrypto.RsaHashedKeyAlgorithm
  const exponent = publicExponent.at(-1) ?? 0
  return modulusLength >= MIN_MODULUS_BITS && (exponent & 1) === 1 && (publicExponent.length > 1 || exponent >= 3)
}
