/** Signing keys like those of a team. */
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

/** A team's two keys: the one that signs, and the one before it, whose tokens are still valid. */
export class SigningKeys {
  #current: SigningKey
  #previous: SigningKey

  constructor (current: SigningKey, previous: SigningKey) {
    this.#current = current
    this.#previous = previous
  }

  static async create (): Promise<SigningKeys> {
    return new SigningKeys(...await Promise.all([createSigningKey(), createSigningKey()]))
  }

  get current (): SigningKey {
    return this.#current
  }

  get previous (): SigningKey {
    return this.#previous
  }

  /** Makes a new current key. The current one becomes the previous one. */
  async rotate (): Promise<void> {
    const next = await createSigningKey()
    this.#previous = this.#current
    this.#current = next
  }
}

/** As in Access, a kid is the SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal. */
export function signingKeyOf (privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey)
  const kid = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex')
  return { kid, privateKey, jwk: { kid, ...publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' } }
}
