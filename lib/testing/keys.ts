/** Signing keys like a team's own. */
import { createHash, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

/** One RSA key pair, and its public half as Access publishes it. */
export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly jwk: Readonly<Record<string, unknown>>
}

const generate = promisify(generateKeyPair)

export async function createSigningKey (): Promise<SigningKey> {
  const { privateKey } = await generate('rsa', { modulusLength: 2048 })
  return signingKeyOf(privateKey)
}

/** A team's two keys: the one that signs, and the one before it, whose tokens are good still. */
export class SigningKeys {
  #pair: readonly [current: SigningKey, previous: SigningKey]

  constructor (current: SigningKey, previous: SigningKey) {
    this.#pair = [current, previous]
  }

  static async create (): Promise<SigningKeys> {
    return new SigningKeys(...await Promise.all([createSigningKey(), createSigningKey()]))
  }

  get both (): readonly [current: SigningKey, previous: SigningKey] {
    return this.#pair
  }

  /** A new one takes the current one's place, and that the previous one's. */
  async rotate (): Promise<void> {
    this.#pair = [await createSigningKey(), this.#pair[0]]
  }
}

/** Access's own kids are the SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal. */
export function signingKeyOf (privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey)
  const kid = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex')
  return { kid, privateKey, jwk: { kid, ...publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' } }
}
