/** The Access applications of the emulator: hostnames and paths, each with its AUD tag, policy and upstream. */
import { createHash } from 'node:crypto'
import { RESERVED_PATH } from '../access/protocol.js'
import { possiblePaths } from '../coverage/possible-paths.js'
import { prefixOf, type Prefix } from '../coverage/prefix.js'
import { OptionsInvalidError } from '../errors.js'
import { compilePolicy, type CompiledPolicy } from '../policy/policy.js'
import type { CfAccessPolicy } from '../policy/route-policy.js'
import { throwInvalidOption } from '../util/option-errors.js'
import { group, list, optional, text, withDefault, type Reader } from '../util/option-readers.js'
import { readUpstream } from './upstream.js'

/** An Access application: a path of a hostname and what is below it. */
export interface AccessApplication {
  /** `127.0.0.1`, or a name that ends in `.localhost`. Default `127.0.0.1`. */
  readonly hostname?: string
  /** Such as `/admin`: this path and what is below it. */
  readonly path: string
  /** Where its requests go. Default: where the others go, the option `to` of the emulator. */
  readonly to?: string
  /** Its AUD tag. Several applications can share one. Default: derived from hostname and path, so it stays the same. */
  readonly audience?: string
  /**
   * Who is allowed; `'bypass'` lets every request through without a token, as a Bypass policy does, such as to a health
   * check. Default: every user with a session and every service token.
   */
  readonly policy?: CfAccessPolicy | 'bypass'
  /** Its name on the login page. Default: the hostname, if it is not `127.0.0.1`, and the path. */
  readonly name?: string
}

export interface Application {
  readonly hostname: string
  readonly path: string
  /** `null`: the emulator's default. */
  readonly to: string | null
  readonly audience: string
  readonly name: string
  readonly policy: EdgePolicy | null
  readonly isBypassed: boolean
}

export interface EdgePolicy {
  /** As it was written, to be shown. */
  readonly source: unknown
  /** The rule that denies, or `null`. */
  readonly check: CompiledPolicy
}

export const DEFAULT_HOSTNAME = '127.0.0.1'

const LIST = 'a list of applications such as { path: "/admin", policy: { include: { group: "admins" } } }'

const readList = list(group({
  hostname: withDefault(text(/^(?:127\.0\.0\.1|(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+localhost)$/,
    '"127.0.0.1" or a name such as "app.localhost", in lower case and without a port'), DEFAULT_HOSTNAME),
  path: text(/^\/(?:[\w.~-]+(?:\/[\w.~-]+)*)?$/, 'a path such as "/admin", of letters, digits, "-", "_", "." and "~"'),
  to: optional(readUpstream),
  audience: optional(text(/^[\x21-\x7e]+$/, 'an AUD tag')),
  name: optional(text(/\S/, 'text')),
  policy: optional((value, path): EdgePolicy | 'bypass' =>
    value === 'bypass' ? value : { source: value, check: compilePolicy(value, path) })
}), LIST)

/** Paths that the emulator answers itself. */
const RESERVED = prefixOf(RESERVED_PATH)

export class Applications {
  readonly list: readonly Application[]
  /** The longest path first. */
  readonly #byDepth: ReadonlyArray<{ readonly prefix: Prefix, readonly application: Application }>

  constructor (list: readonly Application[]) {
    this.list = list
    this.#byDepth = list.map(application => ({ prefix: prefixOf(application.path), application }))
      .sort((a, b) => b.prefix.depth - a.prefix.depth)
  }

  /** Whether a hostname, without its port, is that of an application. */
  hasHostname (hostname: string): boolean {
    return this.list.some(application => application.hostname === hostname)
  }

  /**
   * The application that a request belongs to: of its hostname the one with the longest path that covers a possible
   * path of the target.
   * @returns `null`: none, the path is public; `'reserved'`: a path of Access itself; `'unreadable'`: the target is
   * ambiguous
   */
  at (hostname: string, target: string): Application | null | 'reserved' | 'unreadable' {
    const paths = possiblePaths(target)
    if (paths === null) return 'unreadable'
    const isIn = (prefix: Prefix): boolean => [...paths].some(path => prefix.covers(path))
    if (isIn(RESERVED)) return 'reserved'
    const own = this.#byDepth.filter(({ application }) => application.hostname === hostname)
    return own.find(({ prefix }) => isIn(prefix))?.application ?? null
  }

  /**
   * The application that a login is for: of its hostname the one with this AUD tag, else the target's own, else the
   * first.
   */
  forLogin (hostname: string, audience: string | null, target: string): Application {
    const all = this.list.filter(application => application.hostname === hostname)
    const own = this.at(hostname, target)
    const likely = own !== null && typeof own === 'object' ? [own, ...all] : all
    return likely.find(application => application.audience === audience) ?? likely[0]!
  }
}

/** @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes */
export const readApplications: Reader<Applications> = (value, path) => {
  const list = readList(value, path).map(({ audience, name, policy, ...application }) => {
    const place = placeOf(application)
    const isBypassed = policy === 'bypass'
    return {
      ...application,
      audience: audience ?? audienceFor(place),
      name: name ?? place,
      policy: isBypassed ? null : policy,
      isBypassed
    }
  })
  if (list.length === 0) return throwInvalidOption(path, value, LIST)
  const places = list.map(({ hostname, path }) => placeOf({ hostname, path: prefixOf(path).path }))
  const repeated = places.find((place, i) => places.indexOf(place) !== i)
  if (repeated !== undefined) {
    throw new OptionsInvalidError(
      `Option "${path}" has the path ${repeated} twice; give each application its own path.`)
  }
  return new Applications(list)
}

/** An application's address as short as it is unique. */
export function placeOf ({ hostname, path }: Pick<Application, 'hostname' | 'path'>): string {
  return hostname === DEFAULT_HOSTNAME ? path : hostname + path
}

/** As long as a real one. */
function audienceFor (place: string): string {
  return createHash('sha256').update(`fastify-cf-access ${place}`).digest('hex')
}
