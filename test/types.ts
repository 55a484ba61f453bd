/** What TypeScript must know, and must reject. Compiled with the tests; nothing here runs. */
import type { IncomingMessage } from 'node:http'
import type { Http2SecureServer, Http2ServerRequest } from 'node:http2'
import fastifySwagger from '@fastify/swagger'
import Fastify, { type FastifyPluginAsync, type FastifyRequest, type RouteGenericInterface } from 'fastify'
import nodeFetch from 'node-fetch'
import { pino } from 'pino'
import { fetch as undiciFetch } from 'undici'
import defaultExport, {
  cfAccess, channels, fromEnv, guard, onSessionEnd, swaggerTransform, userOf,
  type CfAccess, type CfAccessCertificate, type CfAccessClaims, type CfAccessFetch, type CfAccessGuard,
  type CfAccessIdentity,
  type CfAccessMachineDetails, type CfAccessOptions,
  type CfAccessPolicy, type CfAccessRequest, type CfAccessService, type CfAccessUser, type CfAccessUserDetails,
  type CfAccessTeamStatus
} from '../lib/index.js'
import { createVerifier } from '../lib/verifier.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
declare function is<Truth extends true> (truth?: Truth): void

const app = Fastify()
const options = { teamDomain: 'acme', audience: ['a', 'b'] } as const

is<Equal<typeof defaultExport, typeof cfAccess>>()
is<Equal<typeof cfAccess, FastifyPluginAsync<CfAccessOptions>>>()

app.register(cfAccess, options)
app.register(cfAccess, { ...options, prefix: '/admin', policy: { include: { email: 'a@acme.com' } }, cache: false })
app.register(cfAccess, { ...options, keys: { maxAge: '1m' }, global: false })
// @ts-expect-error the options have required members
app.register(cfAccess)
// @ts-expect-error an audience is required
app.register(cfAccess, { teamDomain: 'acme' })
// @ts-expect-error an unknown option
app.register(cfAccess, { ...options, audiance: 'a' })
app.register(cfAccess, {
  ...options,
  login: 'redirect',
  recheck: '1m',
  details: { maxAge: '1s' },
  policy: {
    include: { group: ['a', 'b'], commonName: true, claim: { level: [1, 2], 'custom.admin': true } },
    require: { identityProvider: 'okta', authMethod: 'mfa' }
  }
})
// @ts-expect-error there is no other kind of login
app.register(cfAccess, { ...options, login: 'always' })
app.register(cfAccess, {
  ...options,
  policy: { include: { group: { id: 'a' } }, exclude: { group: ['a', { name: 'b' }, { email: 'c@acme.com' }] } }
})
// @ts-expect-error a group by one of its members
app.register(cfAccess, { ...options, policy: { include: { group: { id: 'a', name: 'a' } } } })
// @ts-expect-error an unknown member of a group
app.register(cfAccess, { ...options, policy: { include: { group: { title: 'a' } } } })
// @ts-expect-error groups have names
app.register(cfAccess, { ...options, policy: { include: { group: true } } })
// @ts-expect-error a claim has values
app.register(cfAccess, { ...options, policy: { include: { claim: 'level' } } })
// @ts-expect-error an unknown selector
app.register(cfAccess, { ...options, policy: { include: { mail: 'a@acme.com' } } })

app.get('/', { config: { cfAccess: false } }, async request => {
  is<Equal<typeof request.cfAccess, CfAccessIdentity | null>>()
  // @ts-expect-error it can be null
  request.cfAccess.kind.toUpperCase()
  if (request.cfAccess === null) return
  is<Equal<typeof request.cfAccess, CfAccessUser | CfAccessService | CfAccessCertificate>>()
  is<Equal<typeof request.cfAccess.claims, CfAccessClaims>>()
  is<Equal<typeof request.cfAccess.claims.email, string | undefined>>()
  is<Equal<typeof request.cfAccess.claims['custom'], unknown>>()
  is<Equal<typeof request.cfAccess.expiresAt, number>>()
  // @ts-expect-error it is read-only
  request.cfAccess.expiresAt = 0
  switch (request.cfAccess.kind) {
    case 'user':
      is<Equal<typeof request.cfAccess.email, string>>()
      is<Equal<ReturnType<typeof request.cfAccess.details>, Promise<CfAccessUserDetails>>>()
      is<Equal<typeof request.cfAccess.country, string | undefined>>()
      break
    case 'service':
      is<Equal<typeof request.cfAccess.clientId, string>>()
      is<Equal<ReturnType<typeof request.cfAccess.details>, Promise<CfAccessMachineDetails>>>()
      // @ts-expect-error a service has no e-mail address
      request.cfAccess.email.toUpperCase()
      break
    case 'certificate':
      is<Equal<typeof request.cfAccess.commonName, string>>()
      break
    default:
      is<Equal<typeof request.cfAccess, never>>()
  }
})

app.get('/more', { config: { cfAccess: { include: { emailDomain: ['acme.com'] } } } }, async () => 'in')
app.get('/predicate', { config: { cfAccess: identity => identity.kind === 'user' } }, async () => 'in')
// @ts-expect-error only true, false and policies
app.get('/wrong', { config: { cfAccess: 'false' } }, async () => 'in')

app.get('/hook',
  { onRequest: guard(), preValidation: guard({ require: { country: 'DE' } }), preHandler: [guard(async () => true)] }, async () => 'in')
app.get<{ Params: { id: string } }>('/generic/:id', { preHandler: guard() }, async request => request.params.id)
app.addHook('onRequest', guard())

interface ById { Params: { id: string } }
declare function audit (request: CfAccessRequest): void
declare function remove (request: CfAccessRequest<FastifyRequest<ById>, CfAccessUser>): void
app.get<ById>('/request/:id', { onRequest: guard() }, async request => {
  // @ts-expect-error it can be null
  audit(request)
  const guarded = request as CfAccessRequest<typeof request, CfAccessUser>
  is<Equal<typeof guarded.params, { id: string }>>()
  is<Equal<typeof guarded.cfAccess, CfAccessUser>>()
  audit(guarded as CfAccessRequest)
  remove(guarded)
})
app.get('/none', async request => {
  const guarded = request as CfAccessRequest
  is<Equal<typeof guarded.cfAccess, CfAccessIdentity>>()
  // @ts-expect-error a user, not any identity
  remove(guarded)
})

channels.verify.subscribe(message => {
  is<Equal<typeof message.duration, number>>()
  is<Equal<typeof message.kind, 'user' | 'service' | 'certificate' | null>>()
})
channels.refresh.subscribe(({ outcome }) => is<Equal<typeof outcome, 'rotated' | 'unchanged' | 'failed'>>())
// @ts-expect-error another channel's
channels.rejection.subscribe(({ duration }) => duration)
is<Equal<ReturnType<typeof guard>, CfAccessGuard>>()
// @ts-expect-error no policy
guard({ include: { email: 7 } })

is<Equal<typeof app.cfAccess, CfAccess>>()
declare const { authenticate }: CfAccess
const headers = { 'cf-access-jwt-assertion': 'token', cookie: 'a=1' }
authenticate({ headers })
authenticate({ method: 'POST', headers: headers as Record<string, string> }, { include: { email: true } })
authenticate({ headers, shop: 7 }, (_identity, request) => request.shop === 7)
authenticate({} as IncomingMessage, (_identity, request) => request.socket.remoteAddress === '192.0.2.7')
authenticate({} as Http2ServerRequest)
authenticate({} as FastifyRequest, (_identity, request) => request.ip === '192.0.2.7')
authenticate({} as FastifyRequest<RouteGenericInterface, Http2SecureServer>)
// @ts-expect-error the headers are required
authenticate({ method: 'POST' })
// @ts-expect-error a request has a method in text
authenticate({ method: 1, headers })
// @ts-expect-error the policy gets what was given
authenticate({ headers }, (_identity, request) => request.shop === 7)

is<Equal<ReturnType<typeof onSessionEnd>, () => void>>()
is<Equal<Parameters<Parameters<typeof onSessionEnd>[1]>, [reason: 'expired' | 'revoked' | 'signed-out']>>()
is<Equal<ReturnType<typeof app.cfAccess.signOut>, Promise<void>>>()
is<Equal<ReturnType<typeof app.cfAccess.logoutUrl>, string>>()
is<Equal<ReturnType<typeof app.cfAccess.verify>, Promise<CfAccessIdentity>>>()
is<Equal<ReturnType<typeof app.cfAccess.status>, readonly CfAccessTeamStatus[]>>()
is<Equal<Parameters<typeof app.cfAccess.guard>, [policy?: CfAccessPolicy]>>()

// Members of the other kinds are `undefined`.
app.get('/any-kind', async request => {
  is<Equal<NonNullable<typeof request.cfAccess>['email'], string | undefined>>()
  const { cfAccess } = request
  return [cfAccess?.email, cfAccess?.subject, cfAccess?.country, cfAccess?.clientId, cfAccess?.commonName]
})
app.get('/user', async request => userOf(request).email)

// Every kind of server.
const http2 = Fastify({ http2: true })
http2.register(cfAccess, options)
http2.get('/', { onRequest: guard(), preHandler: [guard()], preValidation: guard() }, async () => 'in')
http2.get('/more', { config: { cfAccess: async (_identity, { ip }) => ip === '::1' } }, async () => 'in')
http2.register(fastifySwagger, { transform: swaggerTransform(http2) })

const https = Fastify({ https: {} })
https.register(cfAccess, options)
https.get('/', { onRequest: guard(), preHandler: [guard()], preValidation: guard() }, async () => 'in')
https.get('/more', { config: { cfAccess: async (_identity, { ip }) => ip === '::1' } }, async () => 'in')
https.register(fastifySwagger, { transform: swaggerTransform(https) })

const http2s = Fastify({ http2: true, https: {} })
http2s.register(cfAccess, options)
http2s.get('/', { onRequest: guard(), preHandler: [guard()], preValidation: guard() }, async () => 'in')
http2s.get('/more', { config: { cfAccess: async (_identity, { ip }) => ip === '::1' } }, async () => 'in')
http2s.register(fastifySwagger, { transform: swaggerTransform(http2s) })

const logging = Fastify({ loggerInstance: pino() })
logging.register(cfAccess, options)
logging.get('/', { onRequest: guard(), preHandler: [guard()], preValidation: guard() }, async () => 'in')
logging.get('/more', { config: { cfAccess: async (_identity, { ip }) => ip === '::1' } }, async () => 'in')
logging.register(fastifySwagger, { transform: swaggerTransform(logging) })

// Every `fetch`.
const fetches: readonly CfAccessFetch[] = [fetch, undiciFetch, nodeFetch]
createVerifier({ teamDomain: 'acme', audience: 'tag', fetch: fetches[0]! })

app.register(cfAccess, { prefix: '/env', ...fromEnv() })
