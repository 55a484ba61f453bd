// What the checks have in common: a way to print them, servers that are closed at the end, and clients.
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { createServer, connect } from 'node:net'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { createAccessTeam } from 'fastify-cf-access/testing'

export const AUD = 'a'.repeat(64)
export const OTHER_AUD = 'b'.repeat(64)
export const ALICE = 'alice@acme.com'
export const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

/** What a browser sends when a user follows a link. */
export const BROWSER = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate' }
/** Asks for a WebSocket. */
export const HANDSHAKE = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']

/** @typedef {import('fastify-cf-access/testing').AccessTeam} AccessTeam */
/** @typedef {import('fastify-cf-access').CfAccessOptions} CfAccessOptions */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */
/** @typedef {{ status: number, headers: Headers, body: string, code: string | undefined }} Answer */

const counts = { pass: 0, fail: 0 }

/**
 * Runs one check, and prints it as TAP does.
 * @param {string} title
 * @param {() => unknown} run
 */
export async function check (title, run) {
  try {
    await run()
    counts.pass++
    console.log(`ok ${counts.pass + counts.fail} - ${title}`)
  } catch (error) {
    counts.fail++
    const text = error instanceof Error ? `${error.stack}` : String(error)
    console.log(`not ok ${counts.pass + counts.fail} - ${title}\n${text.replace(/^/gm, '  # ')}`)
  }
}

/** Prints the closing count, and makes the process end with 1 after a failure. */
export function conclude () {
  console.log(`1..${counts.pass + counts.fail}\n# pass ${counts.pass}\n# fail ${counts.fail}`)
  process.exitCode = counts.fail === 0 ? 0 : 1
}

/** @type {Array<{ close (): unknown }>} in the order in which they were opened */
const opened = []

/**
 * Has something closed at the end.
 * @template {{ close (): unknown }} T
 * @param {T} closable
 */
export function closeLater (closable) {
  opened.push(closable)
  return closable
}

export async function closeAll () {
  for (const closable of opened.splice(0).reverse()) await closable.close()
}

export async function startTeam () {
  return closeLater(await createAccessTeam())
}

/**
 * Starts an app that listens on loopback.
 * @param {(app: FastifyInstance) => unknown} declare
 * @param {import('fastify').FastifyServerOptions & { port?: number }} [options]
 */
export async function serve (declare, { port = 0, ...options } = {}) {
  const app = closeLater(Fastify({ forceCloseConnections: true, ...options }))
  await declare(app)
  return { app, url: await app.listen({ port, host: '127.0.0.1' }) }
}

/**
 * Starts an app with one registration for all of it, and one route that tells the identity.
 * @param {AccessTeam} team
 * @param {Partial<CfAccessOptions>} [options]
 * @param {Parameters<typeof serve>[1]} [server]
 */
export async function serveGuarded (team, options, server) {
  return await serve(async app => {
    await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...options })
    app.get('/', async ({ cfAccess }) => ({ kind: cfAccess?.kind, email: cfAccess?.email }))
  }, server)
}

/** @param {string} token */
export function bearing (token) {
  return { 'cf-access-jwt-assertion': token }
}

/**
 * @param {string} url
 * @param {RequestInit & { token?: string }} [init]
 * @returns {Promise<Answer>}
 */
export async function ask (url, { token, headers, ...init } = {}) {
  const response = await fetch(url, {
    redirect: 'manual', ...init, headers: { ...token !== undefined && bearing(token), ...headers }
  })
  const body = await response.text()
  const code = /"code":"(\w+)"/.exec(body)?.[1]
  return { status: response.status, headers: response.headers, body, code }
}

/**
 * As a browser opens a page, which `fetch` does not let a program say.
 * @param {string} url
 * @param {Record<string, string>} [headers]
 */
export async function navigate (url, headers) {
  const request = httpRequest(url, { headers: { ...BROWSER, ...headers } })
  request.end()
  const [response] = /** @type {[import('node:http').IncomingMessage]} */ (await once(request, 'response'))
  response.resume()
  return response
}

/**
 * Sends a request target and headers byte for byte, which no HTTP client does.
 * @param {string} url
 * @param {string} target
 * @param {readonly string[]} [lines] of the header
 * @returns {Promise<number>} the status
 */
export async function askRaw (url, target, lines = []) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {}) // the server can close first
  const missing = ['Host: localhost', 'Connection: close'].filter(own =>
    !lines.some(line => line.startsWith(own.slice(0, own.indexOf(' ')))))
  socket.write([`GET ${target} HTTP/1.1`, ...missing, ...lines, '', ''].join('\r\n'))
  let text = ''
  for await (const chunk of socket) {
    text += chunk
    if (text.includes('\r\n\r\n')) break
  }
  socket.destroy()
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0)
}

/** For servers that must know of each other before either listens. */
export async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/**
 * The messages of a channel while something runs.
 * @template Message
 * @param {import('fastify-cf-access').CfAccessChannel<Message>} channel
 * @param {() => Promise<unknown>} run
 */
export async function messagesOf (channel, run) {
  /** @type {Message[]} */
  const messages = []
  const listener = (/** @type {Message} */ message) => { messages.push(message) }
  channel.subscribe(listener)
  try {
    await run()
  } finally {
    channel.unsubscribe(listener)
  }
  return messages
}
