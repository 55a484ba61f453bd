/** A `fetch` for pages behind Access. */
import { loginsSoFar, recover, recoveryUnderWay, type SessionEndHandler, type SessionEndMode } from './recovery.js'
import { sessionState } from './session.js'

/** The options of `fetch`, and what to do when the session has ended. */
export interface AccessFetchInit extends RequestInit {
  /** Requests that wait at the same time share the recovery that the first of them began. Default `'reload'`. */
  readonly onSessionEnd?: SessionEndMode | SessionEndHandler
}

// RFC 9110, section 9.2.2.
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']

/**
 * As `fetch`. Where the session has ended, which a page cannot tell from its own errors, it recovers as `onSessionEnd`
 * says. After a login an idempotent request is repeated once; another one gets the answer or the error that it got.
 * Requests to other origins are passed on unchanged.
 * @throws {TypeError} as `fetch` does
 * @see Cloudflare docs: Session management (AJAX)
 */
export async function accessFetch (input: string | URL | Request, init: AccessFetchInit = {}): Promise<Response> {
  const { onSessionEnd = 'reload', ...own } = init
  const request = new Request(input, own)
  if (new URL(request.url).origin !== location.origin) return fetch(request)
  // The edge answers 401 to such a request, and to others a redirect that ends in a CORS error.
  if (!request.headers.has('x-requested-with')) request.headers.set('x-requested-with', 'XMLHttpRequest')
  const again = IDEMPOTENT.includes(request.method) ? request.clone() : null
  const logins = loginsSoFar()
  const outcome = await attempt(request)
  if (!isSuspicious(request, outcome)) return resultOf(outcome)
  await (recoveryUnderWay() ?? recoverIfEnded(onSessionEnd))
  return again !== null && loginsSoFar() > logins ? fetch(again) : resultOf(outcome)
}

async function recoverIfEnded (how: SessionEndMode | SessionEndHandler): Promise<void> {
  if (await sessionState() === 'ended') await recover(how)
}

type Outcome = { readonly response: Response } | { readonly error: unknown }

async function attempt (request: Request): Promise<Outcome> {
  try {
    return { response: await fetch(request) }
  } catch (error) {
    return { error }
  }
}

function resultOf (outcome: Outcome): Response {
  if ('error' in outcome) throw outcome.error
  return outcome.response
}

/** Whether this is how a request without a session can end. */
function isSuspicious ({ headers }: Request, outcome: Outcome): boolean {
  if ('error' in outcome) return outcome.error instanceof TypeError
  const { response } = outcome
  const isPage = response.headers.get('content-type')?.startsWith('text/html') === true
  return response.status === 401 || (isPage && headers.get('accept')?.includes('json') === true)
}
