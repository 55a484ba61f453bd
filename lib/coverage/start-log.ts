/** What a registration logs at start: what it guards, or why it probably guards nothing. */
import type { FastifyInstance } from 'fastify'
import { AUD_TAG_PLACE } from '../access/protocol.js'
import { isLoopback } from '../access/team.js'
import type { Registration } from '../registration.js'
import type { Audience } from '../token/audience.js'
import type { Prefix } from './prefix.js'

/**
 * Logs at `info` what is guarded; warns when no route can be guarded, and when middleware runs before the guard.
 * Call it at registration.
 */
export function announceAtStart (registration: Registration): void {
  const { scope, global, teams, audience } = registration
  if (scope.hasDecorator('use')) scope.log.warn(MIDDLEWARE)
  if (global) warnIfUnused(registration)
  scope.addHook('onReady', async () => {
    const issuers = teams.map(({ team }) => team.issuer)
    const facts = { guards: guardedBy(registration), teams: issuers, audience: audience.tags }
    scope.log.info(facts, 'Cloudflare Access guard registered')
    if (teams.some(({ team }) => !isLoopback(team))) warnOfOddTags(audience, scope)
    if (Array.isArray(audience.tags) && audience.tags.length > 1) scope.log.info(EVERY_HOSTNAME)
  })
}

/** A real tag has 64 hex digits, in lower case. What is pasted by mistake is the ID of the application, a UUID. */
function warnOfOddTags ({ tags }: Audience, { log }: FastifyInstance): void {
  for (const tag of Object.values(tags).flat()) {
    if (!/^[0-9a-f]{64}$/.test(tag)) log.warn({ tag }, ODD_TAG)
  }
}

/** Warns only when it is certain: hooks do not see routes declared before them. */
function warnIfUnused (registration: Registration): void {
  const { scope } = registration
  const isGuardable = guardableBy(registration)
  const earlier = knowsEarlierRoutes(registration) ? patternsOf(scope) : null
  let guardsLater = false
  scope.addHook('onRoute', ({ url }) => { guardsLater ||= isGuardable(url) })
  scope.addHook('onReady', async () => {
    if (guardsLater || (earlier ?? patternsOf(scope)).some(isGuardable)) return
    const guards = guardedBy(registration)
    scope.log.warn(`Cloudflare Access guards ${guards}, but no route is there. ${reasonFor(registration)}`)
  })
}

const EVERY_HOSTNAME = 'Each of the AUD tags in "audience" is accepted on every hostname. ' +
  'To accept each on its own hostname, write audience: { hostname: tag }.'

const ODD_TAG = 'This does not look like an AUD tag, which has 64 hex digits in lower case. ' +
  `It is in the Zero Trust dashboard: ${AUD_TAG_PLACE}.`

const MIDDLEWARE = 'Middleware of @fastify/middie or @fastify/express that was added before fastify-cf-access runs ' +
  'before it, for requests that are not authenticated. Register fastify-cf-access first ' +
  '(with NestJS: on the adapter, before NestFactory.create).'

function guardedBy ({ scope, prefixes, global }: Registration): string {
  if (!global) return 'routes that ask for it'
  if (prefixes !== null) return prefixes.map(({ path }) => path).join(', ')
  return `everything in the scope ${scope.prefix === '' ? '/' : scope.prefix}`
}

function guardableBy ({ prefixes }: Registration): (pattern: string) => boolean {
  return pattern => prefixes === null || prefixes.some((prefix: Prefix) => prefix.canCover(pattern))
}

/**
 * In a scope without a prefix, the server's list of routes does not say which routes are in the scope. So the list is
 * read at registration; later routes are seen by a hook.
 */
function knowsEarlierRoutes ({ scope }: Registration): boolean {
  return scope.prefix === '' && !isRoot(scope)
}

function isRoot (scope: FastifyInstance): boolean {
  return !('register' in Object.getPrototypeOf(scope))
}

function reasonFor (registration: Registration): string {
  return knowsEarlierRoutes(registration)
    ? 'A plugin that registers it for the instance around it must be wrapped in fastify-plugin.'
    : 'Check the spelling of the prefix, which is relative to the prefix of the scope.'
}

// A node of the tree, such as "│   └── istrator (GET, HEAD)". A node without methods is only a common start of others.
const NODE = /^((?:[│ ] {3})*)[├└]── (.*?)( \([A-Z-]+(?:, [A-Z-]+)*\).*)?$/

/** Every route's pattern, from the tree that Fastify prints. */
function patternsOf (scope: FastifyInstance): string[] {
  const above: string[] = []
  return scope.printRoutes().split('\n').flatMap(line => {
    const [, indent, text, methods] = NODE.exec(line) ?? []
    if (indent === undefined || text === undefined) return []
    above.splice(indent.length / 4, Infinity, text)
    return methods === undefined ? [] : [above.join('')]
  })
}
