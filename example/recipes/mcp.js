// An MCP server behind Access, by the official SDK's Streamable HTTP transport: its tools know who calls.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import cfAccess from 'fastify-cf-access'

/**
 * To be registered under a prefix such as `/mcp`.
 *
 * @type {import('fastify').FastifyPluginAsync<{ teamDomain: string, audience: string }>}
 */
export async function mcp (scope, { teamDomain, audience }) {
  // Clients of MCP are no browsers: the header is all that counts.
  await scope.register(cfAccess, { teamDomain, audience, cookie: false })

  // A server for each request, and no session that another client could continue.
  scope.post('/', async (request, reply) => {
    const server = createServer(/** @type {import('fastify-cf-access').CfAccessIdentity} */ (request.cfAccess))
    const transport = new StreamableHTTPServerTransport()
    reply.raw.on('close', () => { server.close() })
    reply.hijack()
    await server.connect(/** @type {import('@modelcontextprotocol/sdk/shared/transport.js').Transport} */ (transport))
    await transport.handleRequest(request.raw, reply.raw, request.body)
  })

  // Without sessions there is no stream to open or to end.
  scope.route({
    method: ['GET', 'DELETE'],
    url: '/',
    handler: async (_request, reply) => reply.code(405).header('allow', 'POST').send()
  })
}

/** @param {import('fastify-cf-access').CfAccessIdentity} caller */
function createServer (caller) {
  const server = new McpServer({ name: 'example', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Tells who calls' }, async () => textOf(nameOf(caller)))

  // Tools that a caller may not use are not even shown.
  if (caller.kind === 'user') {
    server.registerTool('groups', { description: 'Tells which groups the caller is in' }, async () => {
      const { groups } = await caller.details()
      return textOf(groups?.map(({ name }) => name).join(', ') ?? 'unknown')
    })
  }
  return server
}

/** @param {import('fastify-cf-access').CfAccessIdentity} caller */
function nameOf (caller) {
  switch (caller.kind) {
    case 'user': return caller.email
    case 'service': return caller.clientId
    case 'certificate': return caller.commonName
  }
}

/**
 * @param {string} text
 * @returns {{ content: { type: 'text', text: string }[] }}
 */
function textOf (text) {
  return { content: [{ type: 'text', text }] }
}
