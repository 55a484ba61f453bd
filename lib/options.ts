/** What a registration is given, and the settings it becomes once checked. */
import { isLoopback, readTeam, TEAM_DOMAIN_TAKES, type Team } from './access/team.js'
import { OptionsInvalidError } from './errors.js'
import type { CfAccessDetailsOptions } from './identity/get-identity.js'
import type { CfAccessKeysOptions } from './keys/key-set.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from './policy/policy.js'
import type { CfAccessFetch } from './util/fetch-bounded.js'
import { isObject } from './util/is-object.js'
import { readNumber, throwInvalidOption, rejectUnknownNames } from './util/option-readers.js'

/** The options of the plugin. A wrong one stops the start with `FST_CF_ACCESS_OPTIONS_INVALID`. */
export interface CfAccessOptions {
  /**
   * The team: `acme`, `acme.cloudflareaccess.com` or `https://acme.cloudflareaccess.com`, or the
   * FedRAMP form `acme.fed.cloudflareaccess.com`. A loopback address with a port, for development
   * and tests, unless `NODE_ENV` is `production`.
   */
  teamDomain: string
  /** The AUD tag, or tags, of the Access applications whose tokens may come in here. */
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
  /** Asked of every guarded request after its token is verified. Default: everybody verified may come in. */
  policy?: CfAccessPolicy
  /** Seconds by which clocks may differ, for `exp`, `nbf` and `iat`; 0 to 300. Default 30. */
  clockTolerance?: number
  /** Seconds after its `iat` from which a token is rejected, whatever its `exp`. Default: no limit. */
  maxTokenAge?: number
  /** `false`: believes the header only, not the cookie `CF_Authorization`. Default `true`. */
  cookie?: boolean
  /** `true`: lets CORS preflights reach routes for OPTIONS alone without a token. Default `false`. */
  preflight?: boolean
  /** What is remembered of verified tokens; `false` for nothing. */
  cache?: {
    /** How many, 1 to 1,000,000. Default 10,000. */
    max?: number
  } | false
  /**
   * How the team's keys are kept, in milliseconds. Defaults: `maxAge` 3,600,000, `maxStale`
   * 86,400,000, `cooldown` 30,000 or 1,000 for a team on loopback, `timeout` 5,000.
   */
  keys?: Partial<CfAccessKeysOptions>
  /**
   * How the answers of `details()` are kept: `maxAge`, how long, in milliseconds, default 60,000;
   * `timeout`, how long one may take, in milliseconds, default 5,000; `max`, how many, default 1,000.
   */
  details?: Partial<CfAccessDetailsOptions>
  /**
   * Seconds after which Access is asked again whether it still accepts a token, so that a revoked
   * session ends before its `exp`. One more request to Access in front of the first of a token's
   * requests and of one each so many seconds; while Access cannot be asked, 503. Default: never.
   */
  recheck?: number
  /**
   * `'redirect'`: sends a browser that asks for a page, and brings no token or an expired one, to the
   * team's login page and back. All other requests get 401. Default: all requests get 401.
   */
  login?: 'redirect'
  /** Used to ask the team, for proxies and tests. Default: the global `fetch`. */
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
  readonly clockTolerance: number
  readonly maxTokenAge: number
  readonly cookie: boolean
  readonly preflight: boolean
  /** 0: none. */
  readonly cacheMax: number
  readonly keyTimes: CfAccessKeysOptions
  readonly details: CfAccessDetailsOptions
  /** `Infinity`: never. */
  readonly recheck: number
  readonly login: boolean
  readonly fetch: CfAccessFetch
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const MAX_TIMER = 2 ** 31 - 1

const DEFAULT_CACHE_MAX = 10_000
const DEFAULT_KEY_TIMES: CfAccessKeysOptions = { maxAge: HOUR, maxStale: 24 * HOUR, cooldown: MINUTE / 2, timeout: 5000 }
// An emulator changes its keys at each restart, and an extra fetch costs it nothing.
const LOOPBACK_KEY_TIMES: CfAccessKeysOptions = { ...DEFAULT_KEY_TIMES, cooldown: 1000 }

const DEFAULT_DETAILS: CfAccessDetailsOptions = { maxAge: MINUTE, timeout: 5000, max: 1000 }

const NAMES = ['teamDomain', 'audience', 'prefix', 'prefixes', 'global', 'policy', 'clockTolerance', 'maxTokenAge',
  'cookie', 'preflight', 'cache', 'keys', 'details', 'recheck', 'login', 'fetch']

// Asked for at each call, so that what an application puts in its place later is used.
const globalFetch: CfAccessFetch = (url, init) => globalThis.fetch(url, init)

/**
 * Checks the options and completes them. Only own members count, and lists are copied.
 * @param scopePrefix the prefix of the scope it is registered in
 * @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes.
 */
export function checkOptions (options: object, scopePrefix: string): Settings {
  const given = new Map(Object.entries(options))
  rejectUnknownNames([...given.keys()], NAMES, '')
  const prefixes = readPrefixes(given, scopePrefix)
  const global = readBoolean(given, 'global', true)
  if (prefixes !== null && !global) {
    throw new OptionsInvalidError('Option "prefix" says what is guarded and "global: false" that nothing is; leave one out.')
  }
  const team = readTeamDomain(given.get('teamDomain'))
  return {
    team,
    audience: readAudience(given.get('audience')),
    prefixes,
    global,
    policy: given.has('policy') ? compilePolicy(given.get('policy'), 'policy') : null,
    clockTolerance: readNumber(given, 'clockTolerance', 30, 0, 300, 'seconds'),
    maxTokenAge: readNumber(given, 'maxTokenAge', Infinity, 1, MAX_TIMER, 'seconds'),
    cookie: readBoolean(given, 'cookie', true),
    preflight: readBoolean(given, 'preflight', false),
    cacheMax: readCache(given),
    keyTimes: readKeyTimes(given, team),
    details: readDetails(given),
    recheck: readNumber(given, 'recheck', Infinity, 1, MAX_TIMER, 'seconds'),
    login: readLogin(given),
    fetch: readFetch(given)
  }
}

function readTeamDomain (value: unknown): Team {
  const team = typeof value === 'string' ? readTeam(value) : null
  return team ?? throwInvalidOption('teamDomain', value, TEAM_DOMAIN_TAKES)
}

function readAudience (value: unknown): readonly string[] {
  const tags = Array.isArray(value) ? [...value] : [value]
  const good = tags.length > 0 && tags.every(tag => typeof tag === 'string' && /^[\x21-\x7e]+$/.test(tag))
  return good ? tags : throwInvalidOption('audience', value, 'the AUD tag of an Access application, or a list of them')
}

const PREFIX_TAKES = 'a path such as "/admin": plain text with a leading slash, ' +
  'no parameter, wildcard or encoding, no dot at a segment\'s end'

function readPrefixes (given: ReadonlyMap<string, unknown>, scopePrefix: string): readonly string[] | null {
  if (given.has('prefix') && given.has('prefixes')) {
    throw new OptionsInvalidError('Options "prefix" and "prefixes" are both given; leave one out.')
  }
  if (given.has('prefix')) return [readPrefix(given.get('prefix'), scopePrefix)]
  if (!given.has('prefixes')) return null
  const prefixes = given.get('prefixes')
  return Array.isArray(prefixes) && prefixes.length > 0 && prefixes.every(isPrefix)
    ? prefixes.map(withoutTrailingSlash)
    : throwInvalidOption('prefixes', prefixes, `a list of paths, each ${PREFIX_TAKES}`)
}

function readPrefix (prefix: unknown, scopePrefix: string): string {
  if (repeatsScope(prefix, scopePrefix)) {
    throw new OptionsInvalidError(
      `Option "prefix" is "${prefix}", but this scope's prefix is already "${scopePrefix}"; ` +
      `leave it out, or write prefixes: ['${prefix}'] if you mean ${scopePrefix}${prefix}`)
  }
  if (isPrefix(prefix)) return withoutTrailingSlash(prefix)
  return throwInvalidOption('prefix', prefix, Array.isArray(prefix) ? 'one path; write "prefixes" for a list' : PREFIX_TAKES)
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

/** Plain segments: nothing that a router, a URL parser or a file system would read as anything else. */
function isPrefix (value: unknown): value is string {
  return typeof value === 'string' && /^(?:\/|(?:\/[^/\\:*?#;%\s\p{Cc}]*[^/\\:*?#;%\s\p{Cc}.])+\/?)$/u.test(value)
}

function readCache (given: ReadonlyMap<string, unknown>): number {
  if (given.get('cache') === false) return 0
  const cache = readGroup(given, 'cache', ['max'], '{ max } or false')
  return readNumber(cache, 'max', DEFAULT_CACHE_MAX, 1, 1_000_000, 'tokens', 'cache.')
}

function readKeyTimes (given: ReadonlyMap<string, unknown>, team: Team): CfAccessKeysOptions {
  const defaults = isLoopback(team) ? LOOPBACK_KEY_TIMES : DEFAULT_KEY_TIMES
  const keys = readGroup(given, 'keys', Object.keys(defaults), '{ maxAge, maxStale, cooldown, timeout }')
  const read = (name: keyof CfAccessKeysOptions): number =>
    readNumber(keys, name, defaults[name], 1, MAX_TIMER, 'milliseconds', 'keys.')
  const times = { maxAge: read('maxAge'), maxStale: read('maxStale'), cooldown: read('cooldown'), timeout: read('timeout') }
  return times.maxStale >= times.maxAge
    ? times
    : throwInvalidOption('keys.maxStale', times.maxStale, `at least keys.maxAge, which is ${times.maxAge}`)
}

function readDetails (given: ReadonlyMap<string, unknown>): CfAccessDetailsOptions {
  const details = readGroup(given, 'details', Object.keys(DEFAULT_DETAILS), '{ maxAge, timeout, max }')
  const { maxAge, timeout, max } = DEFAULT_DETAILS
  return {
    maxAge: readNumber(details, 'maxAge', maxAge, 1, MAX_TIMER, 'milliseconds', 'details.'),
    timeout: readNumber(details, 'timeout', timeout, 1, MAX_TIMER, 'milliseconds', 'details.'),
    max: readNumber(details, 'max', max, 1, 1_000_000, 'answers', 'details.')
  }
}

function readLogin (input: ReadonlyMap<string, unknown>): boolean {
  if (!input.has('login')) return false
  return input.get('login') === 'redirect' || throwInvalidOption('login', input.get('login'), '"redirect"')
}

function readGroup (input: ReadonlyMap<string, unknown>, name: string, known: readonly string[], expected: string): Map<string, unknown> {
  if (!input.has(name)) return new Map()
  const value = input.get(name)
  if (!isObject(value)) return throwInvalidOption(name, value, expected)
  rejectUnknownNames(Object.keys(value), known, `option "${name}"`)
  return new Map(Object.entries(value))
}

function readFetch (input: ReadonlyMap<string, unknown>): CfAccessFetch {
  const value = input.has('fetch') ? input.get('fetch') : globalFetch
  return typeof value === 'function' ? value as CfAccessFetch : throwInvalidOption('fetch', value, 'a function like the global fetch')
}

function readBoolean (input: ReadonlyMap<string, unknown>, name: string, fallback: boolean): boolean {
  const value = input.has(name) ? input.get(name) : fallback
  return typeof value === 'boolean' ? value : throwInvalidOption(name, value, 'true or false')
}
