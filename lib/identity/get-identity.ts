/** The client of Access's get-identity endpoint, with a cache. The token itself is the credential. */
import { setMaxListeners } from 'node:events'
import { TOKEN_COOKIE } from '../access/protocol.js'
import { IdentityUnavailableError, TokenInvalidError } from '../errors.js'
import { Backoff } from '../util/backoff.js'
import { elapsed } from '../util/elapsed.js'
import { AnswerTooLargeError, explain, fetchBounded, type Answer, type CfAccessFetch } from '../util/fetch-bounded.js'
import { flatCopy } from '../util/flat-copy.js'
import { isObject } from '../util/is-object.js'
import { TaskQueue } from '../util/task-queue.js'
import { TokenMap } from '../util/token-map.js'
import { readMachineDetails, readUserDetails, type CfAccessDetails } from './details.js'
import type { CfAccessIdentity } from './identity.js'
import { LOOK_EVERY, type SharedAnswer, type SharedStore } from './shared-store.js'

/** How answers are fetched and cached. */
export interface DetailsSettings {
  /** How long an answer is cached, in milliseconds. */
  readonly maxAge: number
  /** How long one answer can take, its body included, in milliseconds. */
  readonly timeout: number
  /** How many answers are cached. */
  readonly max: number
}

/** Access accepted the token at that time, in milliseconds since the Unix epoch. */
export interface Confirmation {
  readonly at: number
  readonly details: CfAccessDetails
}

/** Access no longer accepted the token at that time. */
interface Revocation {
  readonly at: number
  readonly details: null
}

/** A `Backoff`: the request failed. */
type Known = Confirmation | Revocation | Backoff

const MAX_REQUESTS = 32

/** Milliseconds. */
const MAX_WAIT = 30_000

// With these statuses the trouble can be with one token, such as one that is too long; requests for others can succeed.
const ABOUT_ONE_TOKEN = [200, 400, 413, 414, 431]

/** The answers for one registration, by token: two users can have the same e-mail address one after the other. */
export class GetIdentityClient {
  readonly #url: string
  readonly #fetch: CfAccessFetch
  readonly #settings: DetailsSettings
  readonly #shared: SharedStore | null
  readonly #known: TokenMap<Known>
  /** When the store was last asked about a token, in milliseconds since the Unix epoch. */
  readonly #lookedAt: TokenMap<number>
  /** The running requests, at most one for each token (single flight). */
  readonly #underway = new Map<string, Promise<Known>>()
  readonly #queue = new TaskQueue(() => this.#maxRequests())
  readonly #closing = new AbortController()
  /** The latest failure of the endpoint itself; `null` after an answer. */
  #outage: Backoff | null = null

  /** @param shared what other processes know */
  constructor (url: string, fetch: CfAccessFetch, settings: DetailsSettings, shared: SharedStore | null) {
    this.#url = url
    this.#fetch = fetch
    this.#settings = settings
    this.#shared = shared
    this.#known = new TokenMap(settings.max)
    this.#lookedAt = new TokenMap(settings.max)
    setMaxListeners(MAX_REQUESTS, this.#closing.signal) // each request listens to it
  }

  /**
   * What Access knows of an identity.
   * @param expiresAt when the token expires, in milliseconds since the Unix epoch; after that nothing is cached
   * @param maxAge how old a cached answer can be, in milliseconds
   * @throws {TokenInvalidError} when Access no longer accepts the token.
   * @throws {IdentityUnavailableError} when get-identity is unavailable.
   */
  async ask (
    identity: CfAccessIdentity, token: string, expiresAt: number, maxAge = this.#settings.maxAge
  ): Promise<Confirmation> {
    const known = await this.#recall(identity, token, expiresAt, maxAge) ?? await this.#askOnce(identity, token, maxAge)
    if (known instanceof Backoff) throw this.#unavailable(known)
    if (known.details === null) throw new TokenInvalidError('revoked')
    return known
  }

  /** Whether this process or another one was told that Access no longer accepts the token. Access is not asked. */
  async isRevoked (identity: CfAccessIdentity, token: string, expiresAt: number, maxAge: number): Promise<boolean> {
    const known = await this.#recall(identity, token, expiresAt, maxAge)
    return known !== undefined && !(known instanceof Backoff) && known.details === null
  }

  /** Ends running requests and rejects later ones. */
  close (): void {
    this.#closing.abort(new Error('the application closed'))
  }

  async #recall (
    identity: CfAccessIdentity, token: string, expiresAt: number, maxAge: number
  ): Promise<Known | undefined> {
    if (this.#shared !== null) await this.#learnFromOthers(identity, token, this.#shared)
    return this.#remembered(token, expiresAt, maxAge)
  }

  #remembered (token: string, expiresAt: number, maxAge: number): Known | undefined {
    const known = this.#known.get(token)
    const now = Date.now()
    if (known instanceof Backoff) return known.left(now) > 0 ? known : undefined
    if (known === undefined || now >= expiresAt) return undefined
    return elapsed(known.at, now) < maxAge ? known : undefined
  }

  /** What is newer than the own knowledge replaces it, so an answer of the store never undoes a later revocation. */
  async #learnFromOthers (identity: CfAccessIdentity, token: string, store: SharedStore): Promise<void> {
    const now = Date.now()
    if (elapsed(this.#lookedAt.get(token) ?? -Infinity, now) < LOOK_EVERY) return
    this.#lookedAt.set(flatCopy(token), now)
    const shared = await store.read(token)
    if (shared === null || shared.at > Date.now()) return
    const own = this.#known.get(token)
    if (own !== undefined && !(own instanceof Backoff) && own.at >= shared.at) return
    const known = interpret(shared, identity)
    if (known !== null) this.#known.set(flatCopy(token), known)
  }

  #askOnce (identity: CfAccessIdentity, token: string, maxAge: number): Promise<Known> {
    let asked = this.#underway.get(token)
    if (asked === undefined) {
      asked = this.#queue.run(() => this.#askUnlessFailing(identity, token, maxAge))
        .finally(() => this.#underway.delete(token))
      this.#underway.set(token, asked)
    }
    return asked
  }

  /**
   * While the endpoint fails, one request at a time tests it. During the backoff no request waits in the queue: all
   * fail at once.
   */
  #maxRequests (): number {
    if (this.#outage === null) return MAX_REQUESTS
    return this.#outage.left(Date.now()) > 0 ? Infinity : 1
  }

  async #askUnlessFailing (identity: CfAccessIdentity, token: string, maxAge: number): Promise<Known> {
    if (this.#outage !== null && this.#outage.left(Date.now()) > 0) return this.#outage
    const known = await this.#learn(identity, token)
    this.#known.set(flatCopy(token), known)
    if (!(known instanceof Backoff)) this.#tellOthers(token, known, Math.max(maxAge, this.#settings.maxAge))
    return known
  }

  /** In the background: no request waits for it. */
  #tellOthers (token: string, { at, details }: Confirmation | Revocation, ttl: number): void {
    this.#shared?.write(token, { at, answer: details?.answer ?? null }, ttl)
  }

  async #learn (identity: CfAccessIdentity, token: string): Promise<Known> {
    const before = this.#outage
    let answer: Answer | undefined
    try {
      answer = await this.#request(token)
      const details = isRevocation(answer) ? null : read(answer, identity)
      this.#outage = null
      return { at: Date.now(), details }
    } catch (error) {
      const reason = explain(error, token)
      const isOfTokenAlone = answer === undefined
        ? error instanceof AnswerTooLargeError
        : ABOUT_ONE_TOKEN.includes(answer.status)
      // Twice the wait before this request, so that requests that fail together count as one failure.
      if (!isOfTokenAlone) this.#outage = new Backoff(reason, before, MAX_WAIT)
      const previous = this.#known.get(token)
      return new Backoff(reason, previous instanceof Backoff ? previous : null, MAX_WAIT)
    }
  }

  async #request (token: string): Promise<Answer> {
    const headers = { accept: 'application/json', cookie: `${TOKEN_COOKIE}=${token}` }
    return await fetchBounded(this.#url, headers, {
      fetch: this.#fetch,
      timeout: this.#settings.timeout,
      signal: this.#closing.signal
    })
  }

  #unavailable (failure: Backoff): IdentityUnavailableError {
    const now = Date.now()
    const wait = Math.max(failure.left(now), this.#outage?.left(now) ?? 0)
    return new IdentityUnavailableError(Math.max(1, Math.ceil(wait / 1000)), failure.reason)
  }
}

/**
 * Access answers a token that it does not accept with 401, or with 400 and `{"err": …}`. Other failures say nothing
 * about the token.
 */
function isRevocation ({ status, text }: Answer): boolean {
  return status === 401 || (status === 400 && isError(parse(text)))
}

function read ({ status, text }: Answer, identity: CfAccessIdentity): CfAccessDetails {
  if (status !== 200) throw new Error(`the answer's status is ${status}`)
  const answer = parse(text)
  if (answer === null) throw new Error('the answer is not a JSON object')
  return readAnswer(answer, identity)
}

/** An answer that another process got. It is checked as if it came from Access. */
function interpret ({ at, answer }: SharedAnswer, identity: CfAccessIdentity): Confirmation | Revocation | null {
  if (answer === null) return { at, details: null }
  try {
    return { at, details: readAnswer(answer, identity) }
  } catch {
    return null
  }
}

function readAnswer (answer: Readonly<Record<string, unknown>>, identity: CfAccessIdentity): CfAccessDetails {
  if (isError(answer)) throw new Error('the answer is an error')
  switch (identity.kind) {
    case 'user': return readUserDetails(answer, identity.email)
    case 'service': return readMachineDetails(answer, identity.clientId)
    case 'certificate': return readMachineDetails(answer, identity.commonName)
  }
}

function isError (answer: Readonly<Record<string, unknown>> | null): boolean {
  return typeof answer?.['err'] === 'string'
}

function parse (text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}
