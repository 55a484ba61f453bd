/** Which AUD tags are accepted: the same on every hostname, or by hostname. */
import { OptionsInvalidError, TokenInvalidError } from '../errors.js'
import { hostnameIn, hostsIn, type HttpRequest } from '../util/http-request.js'
import { loggable } from '../util/loggable.js'

type Tags = readonly string[]

/**
 * Lists of AUD tags. A token must have a tag of each. Requests of one kind get the same object, so that a cached token
 * is compared with it once.
 */
export type AcceptedTags = readonly Tags[]

/** The AUD tags of a registration. */
export interface Audience {
  /** As they were given, for the log. */
  readonly tags: Tags | Readonly<Record<string, Tags>>
  /**
   * The tags that a request needs.
   * @throws {TokenInvalidError} when its hostname has none
   */
  acceptedFor (request: Pick<HttpRequest, 'host' | 'headers'>): AcceptedTags
  /** The tag of the Access application that users log in to; `undefined` for a hostname without one. */
  loginTag (host: string): string | undefined
}

export function onEveryHostname (tags: Tags): Audience {
  const accepted = [tags]
  return { tags, acceptedFor: () => accepted, loginTag: () => tags[0] }
}

/**
 * @param map the tags of each hostname in lower case. A leading `*` stands for one label; a whole name has precedence.
 */
export function byHostname (map: ReadonlyMap<string, Tags>): Audience {
  const accepted = new Map(Array.from(map, ([name, tags]) => [name, [tags]]))
  const find = (host: string): AcceptedTags | undefined => {
    const name = hostnameIn(host)
    const dot = name.indexOf('.')
    return accepted.get(name) ?? (dot > 0 ? accepted.get(`*${name.slice(dot)}`) : undefined)
  }
  return {
    tags: Object.fromEntries(map),
    acceptedFor: ({ host, headers }) => {
      const own = find(host)
      if (own === undefined) throw new TokenInvalidError('host', { expected: [...map.keys()], received: shown(host) })
      // `trustProxy` and host constraints read different headers, so each must name a host of the token.
      const others = hostsIn(headers).map(find).filter(tags => tags !== undefined && tags !== own) as AcceptedTags[]
      return others.length === 0 ? own : [own, ...others].flat()
    },
    loginTag: host => find(host)?.[0]?.[0]
  }
}

/** A host as it can be logged. */
function shown (host: string): unknown {
  return /^[\w.:[\]-]{1,255}$/.test(host) ? host : loggable(host)
}

/**
 * The tags that a token alone needs, which did not come with a request.
 * @throws {OptionsInvalidError} when the tags depend on the hostname, and none is given
 */
export function acceptedOn (audience: Audience, hostname: string | undefined): AcceptedTags {
  if (hostname === undefined && !Array.isArray(audience.tags)) {
    throw new OptionsInvalidError('verify(token, { hostname }) takes a hostname, since "audience" differs by hostname.')
  }
  return audience.acceptedFor({ host: hostname ?? '', headers: {} })
}

/** Whether the token's `aud` has a tag of each list. */
export function matchesAudience (aud: unknown, accepted: AcceptedTags): boolean {
  const tags: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  return tags.every(tag => typeof tag === 'string') && accepted.every(list => tags.some(tag => list.includes(tag)))
}

/** @throws {TokenInvalidError} when it does not match */
export function checkAudience (aud: unknown, accepted: AcceptedTags): void {
  if (matchesAudience(aud, accepted)) return
  throw new TokenInvalidError('audience', { expected: accepted.flat(), received: loggable(aud) })
}
