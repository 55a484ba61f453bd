/** The ways a key endpoint can fail. */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** Answers in the team's place, or never does. */
export type FaultyAnswer = (request: IncomingMessage, response: ServerResponse, body: string) => void

const MIB = 1024 * 1024

export const faults = {
  /** The connection is closed without an answer. */
  down: (_request, response) => { response.socket!.resetAndDestroy() },
  /** The right answer, after ten seconds. */
  slow: (_request, response, body) => {
    const timer = setTimeout(() => response.end(body), 10_000)
    response.on('close', () => clearTimeout(timer))
  },
  /** Nothing ever. */
  silent: () => {},
  /** A header, and then nothing. */
  stalled: (_request, response, body) => { response.writeHead(200, { 'content-length': body.length }).flushHeaders() },
  /** One byte a tenth of a second. */
  drip: (_request, response, body) => {
    let sent = 0
    const timer = setInterval(() => { response.write(body[sent++ % body.length]) }, 100)
    response.on('close', () => clearInterval(timer))
  },
  /** Sends the client elsewhere. */
  redirect: (_request, response) => { response.writeHead(302, { location: '/elsewhere' }).end() },
  /** Status 500. */
  error: (_request, response) => { response.writeHead(500).end('{}') },
  /** Status 404 and a page, as for a team that does not exist. */
  unknown: (_request, response) => {
    response.writeHead(404, { 'content-type': 'text/html' }).end('<!doctype html><p>Unable to find your Access team')
  },
  /** Status 200 and a page. */
  html: (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>Sign in')
  },
  /** Half an answer, and the connection is closed. */
  truncated: (_request, response, body) => {
    response.writeHead(200, { 'content-length': body.length })
    response.write(body.slice(0, body.length / 2), () => response.socket!.resetAndDestroy())
  },
  /** The JSON text `null`. */
  null: (_request, response) => { response.end('null') },
  /** A set without keys. */
  empty: (_request, response) => { response.end('{"keys":[]}') },
  /** Keys without their modulus. */
  broken: (_request, response, body) => {
    const { keys } = JSON.parse(body) as { keys: object[] }
    response.end(JSON.stringify({ keys: keys.map(key => ({ ...key, n: undefined })) }))
  },
  /** 64 MiB of JSON. */
  huge: (_request, response) => {
    response.writeHead(200, { 'content-length': 64 * MIB })
    stream(response, 64)
  },
  /** A body without an end. */
  endless: (_request, response) => { stream(response, Infinity) }
} satisfies Record<string, FaultyAnswer>

function stream (response: ServerResponse, mebibytes: number): void {
  const chunk = Buffer.alloc(MIB, ' ')
  const more = (left: number): void => {
    if (left === 0) response.end()
    else response.write(chunk, error => { if (!error) more(left - 1) })
  }
  more(mebibytes)
}
