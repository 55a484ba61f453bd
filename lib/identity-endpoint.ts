/** Asks the team about an identity: get-identity, with the token as its own proof. */
import { LRUCache } from 'lru-cache'
import { readMachineDetails, readUserDetails, type CfAccessDetails } from './details.js'
import { IdentityUnavailableError, TokenInvalidError } from './errors.js'
import { explain, fetchBounded, type Answer, type Fetch } from './fetch-bounded.js'
import type { CfAccessIdentity } from './identity.js'
import { TokenMap, type Kept } from './token-map.js'

/** How answers about identities are got and kept. */
export interface DetailsSettings {
  /** Milliseconds an answer is remembered. */
  readonly maxAge: number
  /** Milliseconds one answer may take, its body included. */
  readonly timeout: number
  /** How many answers are remembered. */
  readonly max: number
}

interface Known {
  readonly at: number
  /** What Access told, or why it could not be learnt. */
  readonly outcome: CfAccessDetails | TokenInvalidError | IdentityUnavailableError
}

// Long enough that a failing endpoint is not stormed, short enough that nobody is kept out for a hiccup.
const RETRY_AFTER = 5000

/** One registration's memory of what Access says of its tokens. Kept by token: two people may share an e-mail address in turn. */
export class IdentityEndpoint {
  readonly #url: string
  readonly #fetch: Fetch
  readonly #settings: DetailsSettings
  readonly #known: TokenMap<Known>
  readonly #underway = new Map<string, Promise<Known>>()
  readonly #closing = new AbortController()

  constructor (url: string, fetch: Fetch, settings: DetailsSettings) {
    this.#url = url
    this.#fetch = fetch
    this.#settings = settings
    this.#known = new TokenMap(new LRUCache<number, Kept<Known>>({ max: settings.max }))
  }

  /**
   * What Access knows of an identity.
   * @throws {TokenInvalidError} when Access does not accept the token any longer.
   * @throws {IdentityUnavailableError} when it cannot be learnt now.
   */
  async ask (identity: CfAccessIdentity, token: string, maxAge = this.#settings.maxAge): Promise<CfAccessDetails> {
    const { outcome } = this.#remembered(identity, token, maxAge) ?? await this.#askOnce(identity, token)
    if (outcome instanceof Error) throw outcome
    return outcome
  }

  /** Whether Access accepted the token within the last `maxAge` milliseconds. */
  hasConfirmed (identity: CfAccessIdentity, token: string, maxAge: number): boolean {
    const known = this.#remembered(identity, token, maxAge)
    return known !== undefined && !(known.outcome instanceof Error)
  }

  /** Ends what is under way, and all that would come. */
  close (): void {
    this.#closing.abort(new Error('the application closed'))
  }

  #remembered ({ expiresAt }: CfAccessIdentity, token: string, maxAge: number): Known | undefined {
    const known = this.#known.get(token)
    const now = Date.now()
    if (known === undefined || now >= expiresAt) return undefined
    const lifetime = known.outcome instanceof IdentityUnavailableError ? RETRY_AFTER : maxAge
    return Math.abs(now - known.at) < lifetime ? known : undefined
  }

  #askOnce (identity: CfAccessIdentity, token: string): Promise<Known> {
    let asked = this.#underway.get(token)
    if (asked === undefined) {
      asked = this.#ask(identity, token).finally(() => this.#underway.delete(token))
      this.#underway.set(token, asked)
    }
    return asked
  }

  async #ask (identity: CfAccessIdentity, token: string): Promise<Known> {
    const outcome = await this.#learn(identity, token)
    const known = { at: Date.now(), outcome }
    this.#known.set(token, known)
    return known
  }

  async #learn (identity: CfAccessIdentity, token: string): Promise<Known['outcome']> {
    try {
      const headers = { accept: 'application/json', cookie: `CF_Authorization=${token}` }
      const answer = await fetchBounded(this.#url, headers, { fetch: this.#fetch, timeout: this.#settings.timeout, signal: this.#closing.signal })
      return isRefusal(answer) ? new TokenInvalidError('revoked') : read(answer, identity)
    } catch (error) {
      return new IdentityUnavailableError(RETRY_AFTER / 1000, explain(error))
    }
  }
}

/** Access answers a token it does not accept by status 400 and `{"err": …}`. */
function isRefusal ({ status, text }: Answer): boolean {
  return status === 401 || (status < 500 && typeof parse(text)?.['err'] === 'string')
}

function read ({ status, text }: Answer, identity: CfAccessIdentity): CfAccessDetails {
  if (status !== 200) throw new Error(`the answer's status is ${status}`)
  const answer = parse(text)
  if (answer === null) throw new Error('the answer is no JSON object')
  switch (identity.kind) {
    case 'user': return readUserDetails(answer, identity.email)
    case 'service': return readMachineDetails(answer, identity.clientId)
    case 'certificate': return readMachineDetails(answer, identity.commonName)
  }
}

function parse (text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
