import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import { Type, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import t from 'tap'
import {
  cfAccess, guard, swaggerTransform, type CfAccessIdentity, type CfAccessRequest, type CfAccessUser
} from '../../lib/index.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const is = <Truth extends true>(_truth?: Truth): void => {}

const team = await startTeam(t)
const options = { teamDomain: team.domain, audience: AUD }
const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const nameOf = ({ cfAccess }: CfAccessRequest): string => cfAccess.kind

t.test('TypeBox keeps its types in guarded routes', async t => {
  const app = createApp(t).withTypeProvider<TypeBoxTypeProvider>()
  swaggerTransform(app)
  await app.register(cfAccess, options)
  const schema = {
    params: Type.Object({ id: Type.Integer() }),
    querystring: Type.Object({ full: Type.Optional(Type.Boolean()) })
  }
  app.get('/:id', { schema, onRequest: guard({ include: { email: true } }), config: { cfAccess: true } },
    async request => {
      is<Equal<typeof request.params.id, number>>()
      is<Equal<typeof request.query.full, boolean | undefined>>()
      is<Equal<typeof request.cfAccess, CfAccessIdentity | null>>()
      const { cfAccess, params } = request as CfAccessRequest<typeof request, CfAccessUser>
      is<Equal<typeof cfAccess, CfAccessUser>>()
      is<Equal<typeof params.id, number>>()
      return {
        id: params.id + 1,
        full: request.query.full,
        email: cfAccess.email,
        kind: nameOf(request as CfAccessRequest)
      }
    })
  const { body } = await app.inject({ url: '/1?full=true', headers: bearing(alice) })
  t.strictSame(JSON.parse(body), { id: 2, full: true, email: 'alice@acme.com', kind: 'user' })
  t.equal((await app.inject('/1')).statusCode, 401)
  t.equal((await app.inject({ url: '/one', headers: bearing(alice) })).statusCode, 400)
  t.equal((await app.inject('/one')).statusCode, 401, 'a stranger is not told what is valid')
})

t.test('JSON Schema to TypeScript keeps its types in guarded routes', async t => {
  const app = createApp(t).withTypeProvider<JsonSchemaToTsProvider>()
  await app.register(cfAccess, options)
  const body = { type: 'object', properties: { count: { type: 'number' } }, required: ['count'] } as const
  app.post('/', { schema: { body }, preHandler: guard() }, async request => {
    is<Equal<typeof request.body.count, number>>()
    const { cfAccess, body } = request as CfAccessRequest<typeof request>
    is<Equal<typeof cfAccess, CfAccessIdentity>>()
    return `${cfAccess.kind} ${body.count + 1}`
  })
  t.equal((await app.inject({ method: 'POST', url: '/', headers: bearing(alice), payload: { count: 1 } })).body,
    'user 2')
})
