/** The options of a registration, and the settings they become once checked. */
import { OptionsInvalidError } from './errors.js'
import { callerOf } from './identity/caller.js'
import type { CfAccessIdentity } from './identity/identity.js'
import { compilePolicy, type CompiledPolicy } from './policy/policy.js'
import type { CfAccessPolicy } from './policy/route-policy.js'
import { TOKEN_READERS, toTokenSettings, type CfAccessTokenOptions, type TokenSettings } from './token-options.js'
import { throwInvalidOption } from './util/option-errors.js'
import { boolean, optional, readOptions, withDefault, type Reader } from './util/option-readers.js'

/** The options of the plugin. A wrong one stops the start with `FST_CF_ACCESS_OPTIONS_INVALID`. */
export interface CfAccessOptions extends CfAccessTokenOptions {
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
  /** `true`: lets CORS preflights reach routes for OPTIONS alone without a token. Default `false`. */
  preflight?: boolean
  /**
   * `'redirect'`: sends a browser that asks for a page without a token, or with an expired one, to the
   * team's login page and back. All other requests get 401. Default: all requests get 401.
   */
  login?: 'redirect'
  /**
   * Binds who made a request to `request.log` once it is admitted, as the member `cfAccess` of all further log lines.
   * `true`: the kind and the subject, client ID or common name; no e-mail address. A function returns what to bind.
   * Default: nothing.
   */
  logIdentity?: true | ((identity: CfAccessIdentity) => object)
}

/** The options, checked and complete. */
export interface Settings extends TokenSettings {
  /** `null`: the whole scope. */
  readonly prefixes: readonly string[] | null
  readonly global: boolean
  readonly policy: CompiledPolicy | null
  readonly preflight: boolean
  readonly login: boolean
  readonly logIdentity: ((identity: CfAccessIdentity) => object) | null
}

/** @param scopePrefix the prefix of the scope in which the plugin is registered */
const readersFor = (scopePrefix: string) => ({
  ...TOKEN_READERS,
  prefix: optional(readPrefixIn(scopePrefix)),
  prefixes: optional(readPrefixes),
  global: withDefault(boolean, true),
  policy: optional(compilePolicy),
  preflight: withDefault(boolean, false),
  login: optional(readLogin),
  logIdentity: optional(readLogIdentity)
})

/**
 * Checks the options and completes them. Only own members count, and lists are copied.
 * @param scopePrefix the prefix of the scope in which the plugin is registered
 * @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes.
 */
export function checkOptions (options: object, scopePrefix: string): Settings {
  const { prefix, prefixes, global, policy, preflight, login, logIdentity, ...token } =
    readOptions(options, readersFor(scopePrefix))
  if (prefix !== null && prefixes !== null) {
    throw new OptionsInvalidError('Options "prefix" and "prefixes" are both given; leave one out.')
  }
  const paths = prefix === null ? prefixes : [prefix]
  if (paths !== null && !global) {
    throw new OptionsInvalidError(
      'Option "prefix" says what is guarded and "global: false" that nothing is; leave one out.')
  }
  return { ...toTokenSettings(token), prefixes: paths, global, policy, preflight, login: login !== null, logIdentity }
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

const readLogin: Reader<'redirect'> = (value, path) => value === 'redirect'
  ? value
  : throwInvalidOption(path, value, '"redirect"')

const readLogIdentity: Reader<(identity: CfAccessIdentity) => object> = (value, path) => {
  if (value === true) return callerOf
  return typeof value === 'function'
    ? value as (identity: CfAccessIdentity) => object
    : throwInvalidOption(path, value, 'true or a function of the identity')
}
