/** The selectors that only get-identity answers, each by one field of the details. */
import { BlockList, isIP } from 'node:net'
import type { CfAccessDetails } from '../identity/details.js'
import { isObject } from '../util/is-object.js'
import { TextSet } from './comparable.js'
import {
  asking, askingUsers, isText, matchAny, readList, TEXT, textSelector, type Matcher, type Selector
} from './matcher.js'

export const DETAILS_SELECTORS: Readonly<Record<string, Selector>> = {
  identityProvider: {
    takes: 'an identity provider\'s ID or kind, or a list of them, and no patterns',
    compile: textSelector(TEXT, values =>
      askingUsers(({ identityProvider }) => identityProvider && anyOf(Object.values(identityProvider), values)))
  },
  authMethod: {
    takes: 'an authentication method such as "mfa", or a list of them, and no patterns',
    compile: textSelector(TEXT, values =>
      askingUsers(({ authMethods }) => authMethods && anyOf(authMethods, values)))
  },
  devicePosture: {
    takes: 'a device posture check\'s name or ID, or a list of them, and no patterns',
    compile: compileChecks
  },
  warp: { takes: 'true', compile: trueSelector(({ isWarp }) => isWarp) },
  gateway: { takes: 'true', compile: trueSelector(({ isGateway }) => isGateway) },
  ip: { takes: 'an IP address, a range such as "192.0.2.0/24" or "2001:db8::/32", or a list of them', compile: compileIps }
}

function anyOf (texts: ReadonlyArray<string | undefined>, values: TextSet): boolean | undefined {
  return matchAny(texts.map(text => text !== undefined && values.has(text)))
}

function compileChecks (value: unknown): Matcher | null {
  const names = readList(value, item => isText(item, TEXT) ? new TextSet([item]) : null)
  return names && asking(details => matchAny(names.map(name => passesCheck(details, name))))
}

/** Checks of one name must have one result. A check that Access does not tell of has none. */
function passesCheck ({ devicePosture }: CfAccessDetails, name: TextSet): boolean | undefined {
  const results = Object.entries(devicePosture ?? {}).flatMap(([id, check]) => {
    if (!isObject(check)) return []
    const names = [id, check['rule_name']].filter(name => typeof name === 'string')
    const match = anyOf(names, name)
    if (match === false) return []
    return [match === true && typeof check['success'] === 'boolean' ? check['success'] : undefined]
  })
  const [first] = results
  return results.every(result => result === first) ? first : undefined
}

/** A question that only `true` asks. */
function trueSelector (read: (details: CfAccessDetails) => boolean | undefined): Selector['compile'] {
  const match = asking(read)
  return value => value === true ? match : null
}

function compileIps (value: unknown): Matcher | null {
  const ranges = readList(value, readRange)
  if (ranges === null) return null
  const list = new BlockList()
  for (const { address, bits, family } of ranges) list.addSubnet(address, bits, family)
  return asking(({ ip }) => ip === undefined || isIP(ip) === 0 ? undefined : list.check(ip, familyOf(ip)))
}

interface Range {
  readonly address: string
  readonly bits: number
  readonly family: 'ipv4' | 'ipv6'
}

/** RFC 4632 and RFC 4291, section 2.3. Without a zone, which only its own machine knows. */
function readRange (value: unknown): Range | null {
  const [, address = '', length] = /^([\da-f.:]+)(?:\/(\d{1,3}))?$/i.exec(String(value)) ?? []
  if (typeof value !== 'string' || isIP(address) === 0) return null
  const family = familyOf(address)
  const most = family === 'ipv4' ? 32 : 128
  const bits = length === undefined ? most : Number(length)
  return bits <= most ? { address, bits, family } : null
}

function familyOf (address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6'
}
