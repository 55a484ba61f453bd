// The example behind an emulator for Cloudflare's edge, in one process: real logins of made-up users.
import { createAccessEdge } from 'fastify-cf-access/dev'
import { createApp } from './app.js'

export const ROBOT = { clientId: 'e367826f93b8d71185e03fe518aff3b4.access', clientSecret: 'not-a-secret' }

/**
 * @param {{ port: number, edgePort: number, audience: string, session?: import('fastify-cf-access').CfAccessDuration }}
 * options
 */
export async function startBehindEdge ({ port, edgePort, audience, session = '24h' }) {
  const edge = await createAccessEdge({
    to: `http://127.0.0.1:${port}`,
    port: edgePort,
    session,
    users: [
      { email: 'alice@example.com', name: 'Alice', groups: ['admins', 'billing'] },
      { email: 'bob@example.com', name: 'Bob', groups: ['staff'], claims: { custom: { department: 'sales' } } }
    ],
    serviceTokens: [ROBOT],
    applications: [
      { path: '/', audience, name: 'The example' },
      { path: '/admin', audience, name: 'The back office', policy: { include: { group: 'admins' } } }
    ]
  })
  const app = await createApp({ teamDomain: edge.domain, audience })
  await app.listen({ port, host: '127.0.0.1' })
  return { edge, app }
}
