/** The selectors by name and accepted values: `claim` and `attribute`. */
import { isObject } from '../util/is-object.js'
import { readMembers } from '../util/option-readers.js'
import { skeletonOf } from './comparable.js'
import { askingUsers, readList, rejectValue, type CompiledSelector } from './matcher.js'

/** Each claim is a selector, so that `require` means all of them and `include` any of them. */
export function compileClaims (claims: unknown, name: string): CompiledSelector[] {
  return readValues(claims, name, 'claims and their values such as { "custom.department": "finance" }')
    .map(({ path, match }) => {
      warnOfDropped(path, name)
      return { name: `claim.${path}`, match: ({ claims }) => match(valueAt(claims, path)) }
    })
}

/** Each attribute is a selector, too. Where both kinds have the name, both must have an accepted value. */
export function compileAttributes (attributes: unknown, name: string): CompiledSelector[] {
  return readValues(attributes, name, 'attributes and their values such as { department: "finance" }')
    .map(({ path, match }) => {
      const ask = askingUsers(({ samlAttributes, oidcFields }) => {
        const found = [samlAttributes, oidcFields].map(owner => valueAt(owner, path))
        const [first, ...others] = found.filter(value => value !== undefined).map(match)
        return others.every(other => other === first) ? first : undefined
      })
      return { name: `attribute.${path}`, match: ask }
    })
}

interface NamedValues {
  readonly path: string
  readonly match: (value: unknown) => boolean | undefined
}

function readValues (given: unknown, name: string, expected: string): NamedValues[] {
  return [...readMembers(given, name, null, expected)].map(([path, value]) => {
    const values = readList(value, item => isScalar(item) ? item : null) ??
      rejectValue(`${name}["${path}"]`, value, 'text, a number, true, false or a list of them')
    const skeletons = new Set(values.map(item => skeletonOf(String(item))))
    return { path, match: found => matchValue(found, values, skeletons) }
  })
}

/** A claim that is missing has no certain answer, so `exclude` denies. */
function warnOfDropped (path: string, name: string): void {
  const isGroups = /^custom\.groups(?:\.|$)/.test(path)
  if (!isGroups && !(path.startsWith('custom.') && name.endsWith('.exclude.claim'))) return
  process.emitWarning(
    `Access leaves custom claims out of a large token, so a missing "${path}" does not say that a user has no such ` +
    `value, and exclude denies that user; use the selector "${isGroups ? 'group' : 'attribute'}".`,
    { type: 'CfAccessWarning', code: 'FST_CF_ACCESS_GROUPS_CLAIM' })
}

/** A list with anything other than scalars has no certain answer, not even for its scalars. */
function matchValue (claim: unknown, values: readonly Scalar[], skeletons: ReadonlySet<string>): boolean | undefined {
  const members: readonly unknown[] = Array.isArray(claim) ? claim : [claim]
  if (!members.every(isScalar)) return undefined
  if (members.some(member => values.includes(member))) return true
  return members.some(member => skeletons.has(skeletonOf(String(member)))) ? undefined : false
}

/** Own members only. A whole name has precedence over a path, since names such as URLs contain dots. */
function valueAt (owner: unknown, path: string): unknown {
  if (!isObject(owner)) return undefined
  if (Object.hasOwn(owner, path)) return owner[path]
  const dot = path.indexOf('.')
  const name = path.slice(0, dot)
  return dot > 0 && Object.hasOwn(owner, name) ? valueAt(owner[name], path.slice(dot + 1)) : undefined
}

type Scalar = string | number | boolean

function isScalar (value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}
