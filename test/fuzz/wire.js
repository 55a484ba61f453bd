// Sends request targets as they are, which `fetch` and `inject` would not.
import { Agent, request as httpRequest } from 'node:http'
import { connect } from 'node:http2'

/** @typedef {{ status: number, body: string }} Answer status 0: the server hung up, or did not take the target */
/** @typedef {Record<string, string>} Headers */
/** @typedef {(target: string, headers: Headers) => Promise<Answer>} Ask */
/** @typedef {{ ask: Ask, close: () => void }} Client */

const HUNG_UP = Object.freeze({ status: 0, body: '' })
const AT_ONCE = 32

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA=='
}

/** @typedef {'HTTP/1' | 'HTTP/2' | 'WebSocket'} Protocol */

export const CLIENTS = Object.freeze({
  /** @param {number} port @param {string} [method] @returns {Client} */
  'HTTP/1': (port, method = 'GET') => {
    const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
    return {
      ask: async (path, headers) => {
        // Node closes a connection after a malformed request, perhaps just when it is used again.
        for (let tries = 1; ; tries++) {
          const answer = await answerTo(httpRequest({ host: '127.0.0.1', port, method, path, headers, agent }))
          if (answer !== HUNG_UP || tries === 5) return answer
        }
      },
      close: () => agent.destroy()
    }
  },
  /** @param {number} port @returns {Client} */
  'HTTP/2': port => {
    const session = connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    return { ask: async (path, headers) => await answerOf(session, path, headers), close: () => session.destroy() }
  },
  /** @param {number} port @returns {Client} */
  WebSocket: port => ({
    ask: async (path, headers) => await answerTo(httpRequest({
      host: '127.0.0.1',
      port,
      path,
      agent: false,
      headers: { ...headers, ...UPGRADE }
    })),
    close: () => {}
  })
})

/**
 * Asks for all of them, some at once.
 *
 * @param {Client} client
 * @param {readonly string[]} targets
 * @param {Headers} headers
 */
export async function askAll (client, targets, headers = {}) {
  /** @type {Answer[]} */
  const answers = []
  let next = 0
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < targets.length) {
      const i = next++
      answers[i] = await client.ask(/** @type {string} */ (targets[i]), headers)
    }
  }))
  return answers
}

/** @param {import('node:http').ClientRequest} request @returns {Promise<Answer>} */
async function answerTo (request) {
  return await new Promise(resolve => {
    request.on('error', () => resolve(HUNG_UP))
    request.on('upgrade', (_response, socket, head) => readMessage(socket, head, resolve))
    request.on('response', async response => {
      const { socket } = response
      const status = Number(response.statusCode)
      try {
        let body = ''
        for await (const chunk of response.setEncoding('utf8')) body += chunk
        resolve({ status, body })
      } catch {
        resolve({ status, body: '' })
      }
      // A rejected upgrade leaves its socket open.
      if (request.getHeader('upgrade') !== undefined) socket.destroy()
    })
    request.end()
  })
}

/**
 * The first message of a WebSocket: one unmasked frame.
 *
 * @param {import('node:stream').Duplex} socket
 * @param {Buffer} head
 * @param {(answer: Answer) => void} done
 */
function readMessage (socket, head, done) {
  let bytes = head
  const look = () => {
    const short = bytes.length < 2 ? -1 : Number(bytes[1])
    const start = short === 127 ? 10 : short === 126 ? 4 : 2
    if (short === -1 || bytes.length < start) return
    const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short
    if (bytes.length < start + length) return
    done({ status: 101, body: bytes.toString('utf8', start, start + length) })
    socket.destroy()
  }
  socket.on('data', chunk => {
    bytes = Buffer.concat([bytes, chunk])
    look()
  })
  socket.on('error', () => {})
  socket.on('close', () => done({ status: 101, body: '' }))
  look()
}

/**
 * @param {import('node:http2').ClientHttp2Session} session
 * @param {string} path
 * @param {Headers} headers
 * @returns {Promise<Answer>}
 */
async function answerOf (session, path, headers) {
  return await new Promise(resolve => {
    const stream = session.request({ ':path': path, ...headers })
    let status = 0
    let body = ''
    stream.setEncoding('utf8')
    stream.on('response', response => { status = Number(response[':status']) })
    stream.on('data', chunk => { body += chunk })
    stream.on('error', () => {})
    stream.on('close', () => resolve({ status, body }))
    stream.end()
  })
}
