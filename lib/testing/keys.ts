/** Signing keys like a team's own. */
import { createHash, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

/** One RSA key pair, and its public half as Access publishes it. */
export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly jwk: Readonly<Record<string, unknown>>
}

const generate = promisify(generateKeyPair)

/** Access's own kids are the SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal. */
export async function createSigningKey (): Promise<SigningKey> {
  const { publicKey, privateKey } = await generate('rsa', { modulusLength: 2048 })
  const kid = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex')
  return { kid, privateKey, jwk: { kid, ...publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' } }
}
