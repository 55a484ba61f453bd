/** The options that say which tokens are accepted, for the plugin and for a verifier without Fastify. */
import { isLoopback, readTeam, TEAM_DOMAIN_TAKES, type Team } from './access/team.js'
import { readTrustedOrigins, type TrustedOrigins } from './coverage/cross-origin.js'
import { OptionsInvalidError } from './errors.js'
import type { DetailsSettings } from './identity/get-identity.js'
import type { CfAccessStore } from './identity/shared-store.js'
import { hasUsableKey } from './keys/jwks.js'
import type { KeyTimes } from './keys/key-set.js'
import { byHostname, onEveryHostname, type Audience } from './token/audience.js'
import type { VerifierSettings } from './token/token-verifier.js'
import type { CfAccessDuration } from './util/duration.js'
import type { CfAccessFetch } from './util/fetch-bounded.js'
import { isObject } from './util/is-object.js'
import { throwInvalidOption } from './util/option-errors.js'
import {
  boolean, duration, group, integer, membersOf, optional, withDefault, type Read, type Reader
} from './util/option-readers.js'

/** How the team's keys are kept. */
export interface CfAccessKeysOptions {
  /**
   * Keys of about this age are refreshed in the background (stale-while-revalidate); up to a tenth younger, so that
   * many processes refresh apart. Default `'1h'`.
   */
  maxAge?: CfAccessDuration
  /** Keys older than this are no longer trusted. At least `maxAge`. Default `'24h'`. */
  maxStale?: CfAccessDuration
  /**
   * The least time between two refreshes for an unknown `kid`. Also the longest backoff after failed fetches.
   * Default `'30s'`, or `'1s'` for a team on loopback.
   */
  cooldown?: CfAccessDuration
  /** How long one answer of the key endpoint can take, its body included. Default `'5s'`. */
  timeout?: CfAccessDuration
  /**
   * The team's JWK Set, as its key endpoint answers, for starts while that cannot be reached. It is trusted as stale
   * keys are: the first request starts a refresh without waiting for it, and without a success it is trusted for
   * `maxStale` less `maxAge` from the start on. For one team only. Default: the keys are fetched first.
   */
  initial?: {
    /** RSA public keys for signatures (RFC 7517, section 5). */
    readonly keys: readonly object[]
  }
}

/** How the answers of `details()` are kept. */
export interface CfAccessDetailsOptions {
  /** How long an answer is cached; never longer than its token is valid. Default `'1m'`. */
  maxAge?: CfAccessDuration
  /** How long one answer of get-identity can take, its body included. Default `'5s'`. */
  timeout?: CfAccessDuration
  /** How many answers are cached, 1 to 1,000,000. Default 1,000. */
  max?: number
}

/** How verified tokens are kept. */
export interface CfAccessCacheOptions {
  /** How many, 1 to 1,000,000. Default 10,000. */
  max?: number
}

/** Which tokens are accepted. */
export interface CfAccessTokenOptions {
  /**
   * The team: `acme`, `acme.cloudflareaccess.com` or `https://acme.cloudflareaccess.com`, or the
   * FedRAMP form `acme.fed.cloudflareaccess.com`. A loopback address with a port, for development
   * and tests, unless `NODE_ENV` is `production`. A list trusts several teams, such as the old and the new name of one
   * that is renamed: a token's `iss` selects its team. Users log in to the first.
   */
  teamDomain: string | readonly string[]
  /**
   * The AUD tag, or tags, of the Access applications whose tokens are accepted. By hostname, such as
   * `{ 'app.example.com': TAG_A, '*.example.net': [TAG_B, TAG_C] }`, each is accepted on its own hostname only, and a
   * request for any other hostname is rejected. A `*` stands for one label; a whole name has precedence.
   */
  audience: string | readonly string[] | Readonly<Record<string, string | readonly string[]>>
  /**
   * Origins whose pages can send requests that change something, or open WebSockets, such as `https://app.example.com`;
   * `'any'` for no protection. Default: only pages of the request's own host can (cross-origin protection).
   * Also for one route: `config: { cfAccess: { trustedOrigins } }`.
   */
  trustedOrigins?: readonly string[] | 'any'
  /** By how much clocks can differ, for `exp`, `nbf` and `iat`; `'0s'` to `'5m'`. Default `'30s'`. */
  clockTolerance?: CfAccessDuration
  /** Rejects a token issued longer ago than this, whatever its `exp`; `'1s'` to `'365d'`. Default: no limit. */
  maxTokenAge?: CfAccessDuration
  /** `false`: accepts the header only, not the cookie `CF_Authorization`. Default `true`. */
  cookie?: boolean
  /** How verified tokens are kept in memory; `false` for not at all. */
  cache?: CfAccessCacheOptions | false
  /** How the team's keys are kept. */
  keys?: CfAccessKeysOptions
  /** How the answers of `details()` are kept. */
  details?: CfAccessDetailsOptions
  /**
   * Re-checks each token with Access at most this often, so that a revoked session ends before its `exp`; `'1s'` to
   * `'24d'`. One request to Access before the first request of a token, and one after each such time; while Access
   * is unreachable, requests that are due get 503. Default: never.
   */
  recheck?: CfAccessDuration
  /** Used for requests to the team, for proxies and tests. Default: the global `fetch`. */
  fetch?: CfAccessFetch
  /**
   * Shares answers of get-identity and sign-outs with other processes: any Keyv, such as
   * `new Keyv(new KeyvValkey(url))`. Each token is looked up at most once a second. Without an answer within 100 ms
   * requests are decided as without a store. Who can write to the store can end sessions, and say what get-identity
   * answers. Default: none.
   */
  store?: CfAccessStore
}

/** These options, checked and complete. */
export interface TokenSettings extends VerifierSettings {
  /** At least one. */
  readonly teams: readonly Team[]
  readonly audience: Audience
  readonly trustedOrigins: TrustedOrigins
  readonly cookie: boolean
  readonly keyTimesFor: (team: Team) => KeyTimes
  /** A JWK Set as JSON; `null` for none. */
  readonly initialKeys: string | null
  readonly details: DetailsSettings
  readonly fetch: CfAccessFetch
  readonly store: CfAccessStore | null
}

const MAX_CACHED = 1_000_000

// Read at each call, so that a global fetch which your app replaces later is used.
const globalFetch: CfAccessFetch = (url, init) => globalThis.fetch(url, init)

const KEY_READERS = {
  maxAge: withDefault(duration(), '1h'),
  maxStale: withDefault(duration(), '24h'),
  cooldown: optional(duration()),
  timeout: withDefault(duration(), '5s'),
  initial: optional(readInitialKeys)
}

const DETAILS_READERS = {
  maxAge: withDefault(duration(), '1m'),
  timeout: withDefault(duration(), '5s'),
  max: withDefault(integer({ min: 1, max: MAX_CACHED }), 1000)
}

const CACHE_READERS = { max: withDefault(integer({ min: 1, max: MAX_CACHED }), 10_000) }

const INITIAL_KEYS_TAKES = 'a JWK Set with a usable key, as the key endpoint answers: { keys: [{ kid, kty, n, e }] }'

function readInitialKeys (value: unknown, path: string): string {
  if (isObject(value) && hasUsableKey(value)) return JSON.stringify(value)
  return throwInvalidOption(path, value, INITIAL_KEYS_TAKES)
}

/** Milliseconds. An emulator changes its keys at each restart, and an extra fetch costs it nothing. */
function defaultCooldown (team: Team): number {
  return isLoopback(team) ? 1000 : 30_000
}

const readTeamDomain: Reader<Team> = (value, path) =>
  (typeof value === 'string' ? readTeam(value) : null) ?? throwInvalidOption(path, value, TEAM_DOMAIN_TAKES)

const readTeams: Reader<readonly Team[]> = (value, path) => {
  if (!Array.isArray(value)) return [readTeamDomain(value, path)]
  const teams = value.map((item, i) => readTeamDomain(item, `${path}[${i}]`))
  const isRepeated = new Set(teams.map(({ issuer }) => issuer)).size < teams.length
  return teams.length > 0 && !isRepeated ? teams : throwInvalidOption(path, value, 'a list of different teams')
}

const readTags: Reader<readonly string[]> = (value, path) => {
  const tags = Array.isArray(value) ? [...value] : [value]
  return tags.length > 0 && tags.every(isTag) ? tags : throwInvalidOption(path, value, AUDIENCE_TAKES)
}

const AUDIENCE_TAKES = 'the AUD tag of an Access application, without quotes, commas and blanks, or a list of them'

function isTag (value: unknown): value is string {
  return typeof value === 'string' && /^(?!.*["'`,])[\x21-\x7e]+$/.test(value)
}

const readAudience: Reader<Audience> = (value, path) => {
  if (!isObject(value)) return onEveryHostname(readTags(value, path))
  const tags = Object.entries(value).map(([hostname, own]) =>
    [readHostname(hostname, path), readTags(own, `${path}["${hostname}"]`)] as const)
  const map = new Map(tags)
  if (map.size === 0 || map.size < tags.length) throwInvalidOption(path, value, 'a tag for each different hostname')
  return byHostname(map)
}

/** A whole name, or one with `*` as its first label. IP addresses are for development and tests. */
const HOSTNAME = /^(?:(?:\*\.)?[a-z\d_-]+(?:\.[a-z\d_-]+)*|\[[\da-f:.]+\])$/

const readHostname: Reader<string> = (value, path) => {
  const hostname = String(value).toLowerCase()
  if (HOSTNAME.test(hostname)) return hostname
  throw new OptionsInvalidError(`In option "${path}", "${hostname}" is not a hostname; it takes one without scheme, ` +
    'port and path, in ASCII, such as "app.example.com" or "*.example.com".')
}

const readCache: Reader<Read<typeof CACHE_READERS> | false> = (value, path) =>
  value === false ? value : group(CACHE_READERS, `${membersOf(CACHE_READERS)} or false`)(value, path)

const readKeys: Reader<Read<typeof KEY_READERS>> = (value, path) => {
  const keys = group(KEY_READERS)(value, path)
  if (keys.maxStale >= keys.maxAge) return keys
  throw new OptionsInvalidError(
    `Option "${path}.maxStale" is ${keys.maxStale} ms; it takes at least ${path}.maxAge, which is ${keys.maxAge} ms.`)
}

const readFetch: Reader<CfAccessFetch> = (value, path) =>
  typeof value === 'function'
    ? value as CfAccessFetch
    : throwInvalidOption(path, value, 'a function like the global fetch')

const readStore: Reader<CfAccessStore> = (value, path) =>
  isObject(value) && STORE_MEMBERS.every(name => typeof (value as Record<string, unknown>)[name] === 'function')
    ? value as unknown as CfAccessStore
    : throwInvalidOption(path, value, 'a store with the functions get, set and delete, as Keyv has them')

const STORE_MEMBERS = ['get', 'set', 'delete']

/** A reader for each option. */
export const TOKEN_READERS = {
  teamDomain: readTeams,
  audience: readAudience,
  trustedOrigins: withDefault(readTrustedOrigins, []),
  clockTolerance: withDefault(duration({ min: '0s', max: '5m' }), '30s'),
  maxTokenAge: optional(duration({ min: '1s', max: '365d' })),
  cookie: withDefault(boolean, true),
  cache: readCache,
  keys: readKeys,
  details: group(DETAILS_READERS),
  recheck: optional(duration({ min: '1s' })),
  fetch: withDefault(readFetch, globalFetch),
  store: optional(readStore)
}

/** Completes the options that were read. */
export function toTokenSettings (
  { teamDomain, cache, keys, clockTolerance, maxTokenAge, recheck, ...settings }: Read<typeof TOKEN_READERS>
): TokenSettings {
  const { initial, ...keyTimes } = keys
  if (initial !== null && teamDomain.length > 1) {
    throw new OptionsInvalidError('Option "keys.initial" is for one team; "teamDomain" has several.')
  }
  return {
    ...settings,
    teams: teamDomain,
    initialKeys: initial,
    clockTolerance: clockTolerance / 1000,
    maxTokenAge: (maxTokenAge ?? Infinity) / 1000,
    cacheMax: cache === false ? 0 : cache.max,
    keyTimesFor: team => ({ ...keyTimes, cooldown: keyTimes.cooldown ?? defaultCooldown(team) }),
    recheck: recheck ?? Infinity
  }
}
