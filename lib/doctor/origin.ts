/** Asks the origin directly, around the edge and without a token: it must not answer as to a user. */
import { once } from 'node:events'
import { request as requestHttp, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { AnswerTooLateError } from '../util/fetch-bounded.js'
import { isRejection, ownCodeIn, TIMEOUT } from './ask.js'
import { failed, passed, type Check } from './check.js'
import { troubleOf, type Trouble } from './trouble.js'

interface OriginReply {
  readonly status: number
  readonly code: string | null
}

/** @param url the app's public URL: the origin is asked for its path, with its host */
export async function checkOrigin (origin: URL, url: URL): Promise<Check> {
  try {
    return checkReply(origin, await askOrigin(origin, url))
  } catch (error) {
    return checkTrouble(origin, troubleOf(error, {}))
  }
}

function checkReply ({ host }: URL, { status, code }: OriginReply): Check {
  if (isRejection(status) || isOwnRejection(code)) {
    const answer = code === null ? `status ${status}` : `status ${status} and ${code}`
    return passed('origin', `The origin ${host} rejects a request without a token: ${answer}.`)
  }
  return status < 400
    ? failed('origin', `The origin ${host} answers around the edge with status ${status}, without a token.`,
      'Register the plugin for this path, and let only cloudflared or Cloudflare reach the origin: listen on ' +
      'loopback, or use a firewall.')
    : failed('origin', `The origin ${host} answers with status ${status}, which does not tell whether it verifies tokens.`,
      'Give --url a path of your app that needs a login.')
}

/** Your app can answer with a status of its own. */
function isOwnRejection (code: string | null): boolean {
  return code !== null && code.startsWith('FST_CF_ACCESS_TOKEN_')
}

const CLOSED: ReadonlyArray<Trouble['kind']> = ['refused', 'unreachable', 'late', 'closed']

function checkTrouble ({ host }: URL, { kind, text, todo }: Trouble): Check {
  return CLOSED.includes(kind)
    ? passed('origin', `The origin ${host} cannot be reached around the edge from here: ${text}.`)
    : failed('origin', `The origin ${host} was not checked: ${text}.`, todo)
}

async function askOrigin (origin: URL, url: URL): Promise<OriginReply> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new AnswerTooLateError()), TIMEOUT)
  const request = start(origin, url, stop.signal)
  try {
    return await readReply(request).catch(error => { throw stop.signal.aborted ? stop.signal.reason : error })
  } finally {
    clearTimeout(timer)
    request.destroy()
  }
}

async function readReply (request: ClientRequest): Promise<OriginReply> {
  const [response] = await once(request, 'response') as [IncomingMessage]
  return { status: response.statusCode!, code: await findCode(response) }
}

/** `fetch` cannot set the host. The certificate is not verified, as Cloudflare does not by default. */
function start (origin: URL, url: URL, signal: AbortSignal): ClientRequest {
  const options: RequestOptions = {
    path: url.pathname + url.search,
    headers: { host: url.host, accept: '*/*' },
    agent: false,
    signal
  }
  const name = url.hostname
  const request = origin.protocol === 'https:'
    ? requestHttps(origin, { ...options, rejectUnauthorized: false, servername: isIP(name) === 0 ? name : '' })
    : requestHttp(origin, options)
  return request.end()
}

// Bytes. The plugin's own answers are far shorter.
const MAX_READ = 16_384

async function findCode (response: IncomingMessage): Promise<string | null> {
  let text = ''
  for await (const chunk of response.setEncoding('latin1')) {
    text += chunk
    if (text.length > MAX_READ) break
  }
  return ownCodeIn(text)
}
