/** The team's keys: fetched at the start, refreshed when old or for an unknown `kid`, kept through an outage. */
import type { KeyObject } from 'node:crypto'
import { channels, type CfAccessRefresh } from '../channels.js'
import { KeysUnavailableError, TokenInvalidError } from '../errors.js'
import { Backoff } from '../util/backoff.js'
import { elapsed } from '../util/elapsed.js'
import { explain, fetchBounded, type CfAccessFetch } from '../util/fetch-bounded.js'
import { loggable } from '../util/loggable.js'
import type { MaybePromise } from '../util/maybe-promise.js'
import { readKeys, type PublishedKeys } from './jwks.js'

/** How long keys are trusted and how often they are fetched. All in milliseconds. */
export interface KeyTimes {
  /** Keys older than this are refreshed in the background (stale-while-revalidate). */
  readonly maxAge: number
  /** Keys older than this are no longer trusted. */
  readonly maxStale: number
  /**
   * The least time between two refreshes for an unknown `kid`. Also the longest backoff after failed fetches.
   */
  readonly cooldown: number
  /** How long one answer can take, its body included. */
  readonly timeout: number
}

/** Where the keys come from. Equal sources share one key set. */
export interface KeySource {
  readonly url: string
  readonly fetch: CfAccessFetch
  readonly times: KeyTimes
  /** A JWK Set to start with, as JSON; `null`: the keys are fetched first. */
  readonly initial: string | null
}

/** The state of a team's keys, for a readiness route. Times are in milliseconds since the Unix epoch. */
export interface CfAccessKeyStatus {
  /** `fresh`: younger than `maxAge`. `stale`: older, still trusted. `unavailable`: none that can be trusted. */
  readonly state: 'fresh' | 'stale' | 'unavailable'
  /** The `kid` of every key. */
  readonly kids: readonly string[]
  /** Milliseconds since the last success, or `null` before the first. */
  readonly age: number | null
  /** Milliseconds since the Unix epoch; `null` before the first. */
  readonly lastSuccess: number | null
  /** Why the latest refresh failed; `null` once one has succeeded again. */
  readonly lastFailure: {
    /** Milliseconds since the Unix epoch. */
    readonly at: number
    /** For an operator. */
    readonly reason: string
  } | null
  /** While the endpoint fails, when the next request that needs keys starts a fetch; `null` while it does not fail. */
  readonly nextTry: number | null
}

/** Is called after each refresh that changes something. */
export interface KeyObserver {
  /** The keys changed; also on the first fetch. */
  rotated (url: string, kids: readonly string[]): void
  failed (url: string, reason: string): void
}

// Processes that have started together refresh apart, up to this part of `maxAge` early.
const JITTER = 0.1

export class KeySet {
  readonly source: KeySource
  readonly #observers = new Set<KeyObserver>()
  readonly #closing = new AbortController()
  #keys: PublishedKeys = new Map()
  #version = 0
  /** The running refresh; there is never a second one (single flight). */
  #refreshing: Promise<void> | null = null
  /** When the keys were last confirmed, in milliseconds since the Unix epoch; for initial keys, as if they were old. */
  #confirmedAt = -Infinity
  #fetchedAt: number | null = null
  /** The age, in milliseconds, at which a refresh starts. */
  #refreshAfter = 0
  /** When a refresh for an unknown `kid` was last started, in milliseconds since the Unix epoch. */
  #unknownKidAt = -Infinity
  /** The latest failure; `null` since the endpoint last answered. */
  #failure: Backoff | null = null
  #lastFailure: { at: number, reason: string } | null = null

  constructor (source: KeySource) {
    this.source = source
    if (source.initial !== null) this.#refreshing = this.#start(source.initial)
  }

  /** Changes when the keys change. A token verified under another version must be verified again. */
  get version (): number {
    return this.#version
  }

  /**
   * Whether the keys can still be trusted: they were fetched within `maxStale`.
   * @param now milliseconds since the Unix epoch
   */
  isUsable (now: number): boolean {
    return this.#age(now) < this.source.times.maxStale
  }

  /**
   * Starts a refresh in the background when the keys are about `maxAge` old (stale-while-revalidate).
   * @param now milliseconds since the Unix epoch
   */
  refreshIfStale (now: number): void {
    if (this.#age(now) >= this.#refreshAfter) this.#refreshUnlessBackingOff(now)
  }

  /** Prepares {@link getKey}: synchronously when the key is at hand, else after a fetch that can bring it. */
  prepare (kid: string): MaybePromise<void> {
    const now = Date.now()
    this.refreshIfStale(now)
    return this.isUsable(now) && this.#keys.has(kid) ? undefined : this.#fetchFor(kid)
  }

  /**
   * The key that a token names.
   * @throws {KeysUnavailableError} when it is not known whether the team has such a key.
   * @throws {TokenInvalidError} when the team has none.
   */
  getKey (kid: string): KeyObject {
    if (!this.isUsable(Date.now())) throw this.#unavailable()
    const published = this.#keys.get(kid)
    if (published !== undefined) return published.key
    if (this.#failure !== null) throw this.#unavailable()
    throw new TokenInvalidError('kid', { expected: [...this.#keys.keys()], received: loggable(kid) })
  }

  /** Starts fetching the keys unless they are fresh, so that the first request does not have to wait. */
  prefetch (): void {
    this.refreshIfStale(Date.now())
  }

  status (): CfAccessKeyStatus {
    const now = Date.now()
    const age = this.#age(now)
    const { maxAge, maxStale } = this.source.times
    return {
      state: age < maxAge ? 'fresh' : age < maxStale ? 'stale' : 'unavailable',
      kids: [...this.#keys.keys()],
      age: age === Infinity ? null : age,
      lastSuccess: this.#fetchedAt,
      lastFailure: this.#lastFailure,
      nextTry: this.#failure === null ? null : now + Math.max(0, this.#failure.left(now))
    }
  }

  subscribe (observer: KeyObserver): void {
    this.#observers.add(observer)
  }

  /** Ends an observer's use of the keys. The last one also ends a running fetch. */
  unsubscribe (observer: KeyObserver): boolean {
    this.#observers.delete(observer)
    if (this.#observers.size > 0) return false
    this.#closing.abort(new Error('the application closed'))
    return true
  }

  async #fetchFor (kid: string): Promise<void> {
    await this.#refreshing
    if (this.isUsable(Date.now()) && !this.#keys.has(kid)) await this.#refreshForUnknownKid()
  }

  /** At most one refresh in each cooldown for all unknown kids; while the endpoint fails, a retry after its backoff. */
  async #refreshForUnknownKid (): Promise<void> {
    const now = Date.now()
    if (this.#failure !== null || elapsed(this.#unknownKidAt, now) >= this.source.times.cooldown) {
      this.#unknownKidAt = now
      this.#refreshUnlessBackingOff(now)
    }
    await this.#refreshing
  }

  /** Milliseconds. */
  #age (now: number): number {
    return elapsed(this.#confirmedAt, now)
  }

  /** Trusts initial keys as stale ones: the next request starts a refresh, and does not wait for it. */
  async #start (initial: string): Promise<void> {
    try {
      this.#keys = await readKeys(initial)
      this.#confirmedAt = Date.now() - this.source.times.maxAge
    } catch (error) {
      this.#fail(explain(error))
    }
    this.#refreshing = null
  }

  #refreshUnlessBackingOff (now: number): void {
    if (this.#failure !== null && this.#failure.left(now) > 0) return
    this.#refreshing ??= this.#refresh().finally(() => { this.#refreshing = null })
  }

  async #refresh (): Promise<void> {
    const { url, fetch, times } = this.source
    const since = performance.now()
    const version = this.#version
    try {
      const answer = await fetchBounded(url, { accept: 'application/json' }, {
        fetch,
        timeout: times.timeout,
        signal: this.#closing.signal
      })
      if (answer.status !== 200) throw new Error(`the answer's status is ${answer.status}`)
      this.#accept(await readKeys(answer.text))
    } catch (error) {
      this.#fail(explain(error))
    }
    if (channels.refresh.hasSubscribers) channels.refresh.publish(this.#report(performance.now() - since, version))
  }

  #report (duration: number, versionBefore: number): CfAccessRefresh {
    const reason = this.#failure?.reason ?? null
    const outcome = reason !== null ? 'failed' : this.#version === versionBefore ? 'unchanged' : 'rotated'
    return { url: this.source.url, duration, outcome, kids: [...this.#keys.keys()], reason }
  }

  #accept (keys: PublishedKeys): void {
    this.#confirmedAt = this.#fetchedAt = Date.now()
    this.#refreshAfter = this.source.times.maxAge * (1 - JITTER * Math.random())
    this.#failure = null
    if (isSame(keys, this.#keys)) return
    this.#keys = keys
    this.#version++
    for (const observer of this.#observers) observer.rotated(this.source.url, [...keys.keys()])
  }

  #fail (reason: string): void {
    this.#failure = new Backoff(reason, this.#failure, this.source.times.cooldown)
    this.#lastFailure = { at: this.#failure.at, reason }
    for (const observer of this.#observers) observer.failed(this.source.url, reason)
  }

  #unavailable (): KeysUnavailableError {
    const wait = this.#failure?.left(Date.now()) ?? 0
    return new KeysUnavailableError(Math.max(1, Math.ceil(wait / 1000)), this.#failure?.reason)
  }
}

function isSame (a: PublishedKeys, b: PublishedKeys): boolean {
  return a.size === b.size && [...a].every(([kid, { fingerprint }]) => b.get(kid)?.fingerprint === fingerprint)
}

const sharedKeySets = new Set<KeySet>()

/** The key set of this source, one for the whole process, until {@link releaseKeySet}. */
export function acquireKeySet (source: KeySource, observer: KeyObserver): KeySet {
  const keySet = [...sharedKeySets].find(candidate => isSameSource(candidate.source, source)) ?? new KeySet(source)
  sharedKeySets.add(keySet)
  keySet.subscribe(observer)
  return keySet
}

/** Ends an observer's use of a key set, and closes it when the last observer leaves. */
export function releaseKeySet (keySet: KeySet, observer: KeyObserver): void {
  if (keySet.unsubscribe(observer)) sharedKeySets.delete(keySet)
}

function isSameSource (a: KeySource, b: KeySource): boolean {
  return a.url === b.url && a.fetch === b.fetch && a.initial === b.initial &&
    a.times.maxAge === b.times.maxAge && a.times.maxStale === b.times.maxStale &&
    a.times.cooldown === b.times.cooldown && a.times.timeout === b.times.timeout
}
