/**
 * The plugin's hook on a real request, over and over. The hook is the one the plugin hands to
 * `addHook`; the request and the reply are Fastify's own, kept from a request over HTTP. Between two
 * calls only that changes which would with another request: the token in the header, and
 * `request.cfAccess`, which is null again.
 *
 * A token comes off a socket as a string that was never hashed, so each call gets such a one, made
 * outside of the time that is taken; and so does the Map. Header and token are set in both.
 */
import Fastify from 'fastify'
import { do_not_optimize as use, measure } from 'mitata'
import cfAccess from '../../../dist/index.js'
import { createAccessTeam } from '../../../dist/testing/index.js'
import { AUDIENCE } from '../access.js'
import { bearing } from '../load.js'

const team = await createAccessTeam()
const app = Fastify()
const hooks = spyOnHooks(app)
await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
let kept
app.get('/', async (request, reply) => {
  kept = { request, reply }
  return 'ok'
})
const address = await app.listen({ host: '127.0.0.1', port: 0 })

const tokens = Array.from({ length: 300 }, (_, i) => team.userToken({
  email: `user-${i}@example.com`,
  audience: AUDIENCE
}))
for (const token of tokens) {
  const { status } = await fetch(address, { headers: bearing(token) })
  if (status !== 200) throw new Error(`A request was answered ${status}`)
}
const { request, reply } = kept
const { headers } = request.raw
const [onRequest, ...others] = hooks
if (others.length > 0) throw new Error('the plugin has more hooks than one')
const bytes = tokens.map(token => Buffer.from(token))
const identities = new Map(tokens.map(token => [token, { email: token.slice(0, 9) }]))

let admitted = 0
const done = error => { if (error === undefined) admitted++ }
let called = 0
let next = 0
const fresh = () => bytes[next++ % bytes.length].latin1Slice()

const works = {
  'nothing but setting the request': token => { arrive(token) },
  'one Map lookup': token => { arrive(token); use(identities.get(headers['cf-access-jwt-assertion'])) },
  'the guard': token => { arrive(token); called++; onRequest.call(app, request, reply, done) }
}

const figures = {}
for (const [name, work] of Object.entries(works)) {
  const { p50 } = await measure(function * () { yield { 0: fresh, bench: work } }, { min_cpu_time: 1e9 })
  figures[name] = p50
}
if (admitted !== called) throw new Error('not every call was admitted')
process.stdout.write(JSON.stringify(figures), () => process.exit())

/** @param {string} token */
function arrive (token) {
  headers['cf-access-jwt-assertion'] = token
  request.cfAccess = null
}

/** @param {import('fastify').FastifyInstance} app */
function spyOnHooks (app) {
  const hooks = []
  const { addHook } = app
  app.addHook = function (name, hook) {
    if (name === 'onRequest') hooks.push(hook)
    return addHook.call(this, name, hook)
  }
  return hooks
}
