/** The options of a registration, and the settings they become once checked. */
import { isLoopback, readTeam, TEAM_DOMAIN_TAKES, type Team } from './access/team.js'
import { OptionsInvalidError } from './errors.js'
import type { DetailsSettings } from './identity/get-identity.js'
import type { KeyTimes } from './keys/key-set.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from './policy/policy.js'
import type { CfAccessDuration } from './util/duration.js'
import type { CfAccessFetch } from './util/fetch-bounded.js'
import { throwInvalidOption } from './util/option-errors.js'
import {
  boolean, duration, group, integer, membersOf, optional, readOptions, withDefault, type Read, type Reader
} from './util/option-readers.js'

/** How the team's keys are kept. */
export interface CfAccessKeysOptions {
  /** Keys older than this are refreshed in the background (stale-while-revalidate). Default `'1h'`. */
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

/** The options of the plugin. A wrong one stops the start with `FST_CF_ACCESS_OPTIONS_INVALID`. */
export interface CfAccessOptions {
  /**
   * The team: `acme`, `acme.cloudflareaccess.com` or `https://acme.cloudflareaccess.com`, or the
   * FedRAMP form `acme.fed.cloudflareaccess.com`. A loopback address with a port, for development
   * and tests, unless `NODE_ENV` is `production`.
   */
  teamDomain: string
  /** The AUD tag, or tags, of the Access applications whose tokens are accepted. */
  audience: string | readonly string[]
  /**
   * Guards only this path and what is below it, relative to the scope's own prefix. Default: the whole scope.
   * Fastify adds its own `prefix` to the options a plugin gets, so `...opts` would say it twice: a `prefix` that
   * starts with a segment of the scope's own prefix stops the start.
   * @see Fastify docs: Plugins, Route Prefixing
   */
  prefix?: string
  /** Several such paths in one registration. Fastify never fills this in, so it can repeat the scope's own prefix. */
  prefixes?: readonly string[]
  /** `false`: guards only routes that ask for it, with `guard()` or `config.cfAccess`. Default `true`. */
  global?: boolean
  /** Must allow every guarded request, after its token is verified. Default: every verified identity is allowed. */
  policy?: CfAccessPolicy
  /** By how much clocks can differ, for `exp`, `nbf` and `iat`; `'0s'` to `'5m'`. Default `'30s'`. */
  clockTolerance?: CfAccessDuration
  /** Rejects a token issued longer ago than this, whatever its `exp`; `'1s'` to `'365d'`. Default: no limit. */
  maxTokenAge?: CfAccessDuration
  /** `false`: accepts the header only, not the cookie `CF_Authorization`. Default `true`. */
  cookie?: boolean
  /** `true`: lets CORS preflights reach routes for OPTIONS alone without a token. Default `false`. */
  preflight?: boolean
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
  /**
   * `'redirect'`: sends a browser that asks for a page without a token, or with an expired one, to the
   * team's login page and back. All other requests get 401. Default: all requests get 401.
   */
  login?: 'redirect'
  /** Used for requests to the team, for proxies and tests. Default: the global `fetch`. */
  fetch?: CfAccessFetch
}

/** The options, checked and complete. */
export interface Settings {
  readonly team: Team
  readonly audience: readonly string[]
  /** `null`: the whole scope. */
  readonly prefixes: readonly string[] | null
  readonly global: boolean
  readonly policy: CompiledPolicy | null
  /** Seconds. */
  readonly clockTolerance: number
  /** Seconds; `Infinity` for no limit. */
  readonly maxTokenAge: number
  readonly cookie: boolean
  readonly preflight: boolean
  /** 0: none. */
  readonly cacheMax: number
  readonly keyTimes: KeyTimes
  readonly details: DetailsSettings
  /** Milliseconds; `Infinity` for never. */
  readonly recheck: number
  readonly login: boolean
  readonly fetch: CfAccessFetch
}

const MAX_CACHED = 1_000_000

// Read at each call, so that a global fetch which your app replaces later is used.
const globalFetch: CfAccessFetch = (url, init) => globalThis.fetch(url, init)

const KEY_READERS = {
  maxAge: withDefault(duration(), '1h'),
  maxStale: withDefault(duration(), '24h'),
  cooldown: optional(duration()),
  timeout: withDefault(duration(), '5s')
}

const DETAILS_READERS = {
  maxAge: withDefault(duration(), '1m'),
  timeout: withDefault(duration(), '5s'),
  max: withDefault(integer({ min: 1, max: MAX_CACHED }), 1000)
}

const CACHE_READERS = { max: withDefault(integer({ min: 1, max: MAX_CACHED }), 10_000) }

/** @param scopePrefix the prefix of the scope in which the plugin is registered */
const readersFor = (scopePrefix: string) => ({
  teamDomain: readTeamDomain,
  audience: readAudience,
  prefix: optional(readPrefixIn(scopePrefix)),
  prefixes: optional(readPrefixes),
  global: withDefault(boolean, true),
  policy: optional(compilePolicy),
  clockTolerance: withDefault(duration({ min: '0s', max: '5m' }), '30s'),
  maxTokenAge: optional(duration({ min: '1s', max: '365d' })),
  cookie: withDefault(boolean, true),
  preflight: withDefault(boolean, false),
  cache: readCache,
  keys: readKeys,
  details: group(DETAILS_READERS),
  recheck: optional(duration({ min: '1s' })),
  login: optional(readLogin),
  fetch: withDefault(readFetch, globalFetch)
})

/**
 * Checks the options and completes them. Only own members count, and lists are copied.
 * @param scopePrefix the prefix of the scope in which the plugin is registered
 * @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes.
 */
export function checkOptions (options: object, scopePrefix: string): Settings {
  const { teamDomain: team, prefix, prefixes, cache, keys, recheck, login, ...settings } =
    readOptions(options, readersFor(scopePrefix))
  if (prefix !== null && prefixes !== null) {
    throw new OptionsInvalidError('Options "prefix" and "prefixes" are both given; leave one out.')
  }
  const paths = prefix === null ? prefixes : [prefix]
  if (paths !== null && !settings.global) {
    throw new OptionsInvalidError(
      'Option "prefix" says what is guarded and "global: false" that nothing is; leave one out.')
  }
  return {
    ...settings,
    team,
    prefixes: paths,
    clockTolerance: settings.clockTolerance / 1000,
    maxTokenAge: (settings.maxTokenAge ?? Infinity) / 1000,
    cacheMax: cache === false ? 0 : cache.max,
    keyTimes: { ...keys, cooldown: keys.cooldown ?? defaultCooldown(team) },
    recheck: recheck ?? Infinity,
    login: login !== null
  }
}

/** Milliseconds. An emulator changes its keys at each restart, and an extra fetch costs it nothing. */
function defaultCooldown (team: Team): number {
  return isLoopback(team) ? 1000 : 30_000
}

const readTeamDomain: Reader<Team> = (value, path) =>
  (typeof value === 'string' ? readTeam(value) : null) ?? throwInvalidOption(path, value, TEAM_DOMAIN_TAKES)

const readAudience: Reader<readonly string[]> = (value, path) => {
  const tags = Array.isArray(value) ? [...value] : [value]
  const areTags = tags.length > 0 && tags.every(tag => typeof tag === 'string' && /^[\x21-\x7e]+$/.test(tag))
  return areTags ? tags : throwInvalidOption(path, value, 'the AUD tag of an Access application, or a list of them')
}

const PREFIX_TAKES = 'a path such as "/admin": plain text with a leading slash, ' +
  'no parameter, wildcard or encoding, no dot at a segment\'s end'

const readPrefixes: Reader<readonly string[]> = (value, path) =>
  Array.isArray(value) && value.length > 0 && value.every(isPrefix)
    ? value.map(withoutTrailingSlash)
    : throwInvalidOption(path, value, `a list of paths, each ${PREFIX_TAKES}`)

const readPrefixIn = (scopePrefix: string): Reader<string> => (value, path) => {
  if (repeatsScope(value, scopePrefix)) {
    throw new OptionsInvalidError(
      `Option "${path}" is "${value}", but this scope's prefix is already "${scopePrefix}"; ` +
      `leave it out, or write prefixes: ['${value}'] if you mean ${scopePrefix}${value}`)
  }
  if (isPrefix(value)) return withoutTrailingSlash(value)
  return throwInvalidOption(path, value, Array.isArray(value) ? 'one path; write "prefixes" for a list' : PREFIX_TAKES)
}

/** Fastify adds its own `prefix` to a plugin's options. The first segment is enough to recognize a repetition. */
function repeatsScope (prefix: unknown, scopePrefix: string): prefix is string {
  if (typeof prefix !== 'string') return false
  const [first] = segmentsOf(prefix)
  return first !== undefined && segmentsOf(scopePrefix).includes(first)
}

function segmentsOf (path: string): string[] {
  return path.toLowerCase().split('/').filter(segment => segment !== '')
}

function withoutTrailingSlash (prefix: string): string {
  return prefix.replace(/\/$/, '')
}

/** Plain segments: text that a router, a URL parser and a file system all read the same way. */
function isPrefix (value: unknown): value is string {
  return typeof value === 'string' && /^(?:\/|(?:\/[^/\\:*?#;%\s\p{Cc}]*[^/\\:*?#;%\s\p{Cc}.])+\/?)$/u.test(value)
}

const readCache: Reader<Read<typeof CACHE_READERS> | false> = (value, path) =>
  value === false ? value : group(CACHE_READERS, `${membersOf(CACHE_READERS)} or false`)(value, path)

const readKeys: Reader<Read<typeof KEY_READERS>> = (value, path) => {
  const keys = group(KEY_READERS)(value, path)
  if (keys.maxStale >= keys.maxAge) return keys
  throw new OptionsInvalidError(
    `Option "${path}.maxStale" is ${keys.maxStale} ms; it takes at least ${path}.maxAge, which is ${keys.maxAge} ms.`)
}

const readLogin: Reader<'redirect'> = (value, path) => value === 'redirect'
  ? value
  : throwInvalidOption(path, value, '"redirect"')

const readFetch: Reader<CfAccessFetch> = (value, path) =>
  typeof value === 'function'
    ? value as CfAccessFetch
    : throwInvalidOption(path, value, 'a function like the global fetch')
