/** What processes tell each other of a token, by a store that they share. A store that fails knows nothing. */
import { createHash } from 'node:crypto'
import { Backoff } from '../util/backoff.js'
import { explain } from '../util/fetch-bounded.js'
import { isObject } from '../util/is-object.js'

/** A store as Keyv has it, such as `new Keyv(new KeyvValkey(url))`. */
export interface CfAccessStore {
  /** The value of a key; `undefined` for none. */
  get (key: string): unknown
  /**
   * Keeps a value.
   * @param ttl milliseconds after which it is forgotten
   */
  set (key: string, value: string, ttl: number): unknown
  /** Forgets a key. */
  delete (key: string): unknown
}

/** What Access said of a token: its answer, or `null` when it no longer accepts the token. */
export interface SharedAnswer {
  /** Milliseconds since the Unix epoch. */
  readonly at: number
  readonly answer: Readonly<Record<string, unknown>> | null
}

/** Milliseconds between two looks for one token: how soon a process knows what another one was told. */
export const LOOK_EVERY = 1000

const PREFIX = 'fastify-cf-access:v1:'
const SIGNED_OUT = ':signed-out'

/** Milliseconds. */
const DEADLINE = 100
const MAX_WAIT = 30_000

const UNAVAILABLE = 'The store does not answer: until it does, this process decides without what others know.'

/** Requests are decided without a store that is slow, down or wrong; it is asked again after a backoff. */
export class SharedStore {
  readonly #store: CfAccessStore
  readonly #warn: (facts: object, message: string) => void
  /** The latest failure; `null` since the store last answered. */
  #failure: Backoff | null = null

  /** @param warn is called for the first of several failures in a row */
  constructor (store: CfAccessStore, warn: (facts: object, message: string) => void) {
    this.#store = store
    this.#warn = warn
  }

  async isSignedOut (token: string): Promise<boolean> {
    return await this.#call(() => this.#store.get(keyOf(token) + SIGNED_OUT)) === 'true'
  }

  /** @param ttl milliseconds */
  async signOut (token: string, ttl: number): Promise<void> {
    await this.#call(() => this.#store.set(keyOf(token) + SIGNED_OUT, 'true', ttl))
  }

  /** `null` for none, and for a value of another form. */
  async read (token: string): Promise<SharedAnswer | null> {
    const key = keyOf(token)
    const value = await this.#call(() => this.#store.get(key))
    if (value === undefined || value === null) return null
    const shared = parse(value)
    if (shared === null) await this.#call(() => this.#store.delete(key))
    return shared
  }

  /** @param ttl milliseconds */
  async write (token: string, shared: SharedAnswer, ttl: number): Promise<void> {
    await this.#call(() => this.#store.set(keyOf(token), JSON.stringify(shared), ttl))
  }

  /** `undefined` when the store fails. */
  async #call (step: () => unknown): Promise<unknown> {
    const before = this.#failure
    if (before !== null && before.left(Date.now()) > 0) return undefined
    try {
      const value = await within(DEADLINE, step)
      this.#failure = null
      return value
    } catch (error) {
      const reason = explain(error)
      if (this.#failure === null) this.#warn({ reason }, UNAVAILABLE)
      // Twice the wait before this call, so that calls that fail together count as one failure.
      this.#failure = new Backoff(reason, before, MAX_WAIT)
      return undefined
    }
  }
}

/** A token is a secret: the store never sees it. */
function keyOf (token: string): string {
  return PREFIX + createHash('sha256').update(token).digest('hex')
}

function within (milliseconds: number, step: () => unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds)
    const run = async (): Promise<unknown> => await step()
    run().then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

// Characters: an answer of get-identity has at most 262,144 bytes.
const MAX_LENGTH = 300_000

function parse (value: unknown): SharedAnswer | null {
  if (typeof value !== 'string' || value.length > MAX_LENGTH) return null
  let shared: unknown
  try {
    shared = JSON.parse(value)
  } catch {
    return null
  }
  if (!isObject(shared)) return null
  const { at, answer } = shared as Partial<SharedAnswer>
  if (!Number.isSafeInteger(at)) return null
  return answer === null || isObject(answer) ? { at: at!, answer } : null
}
