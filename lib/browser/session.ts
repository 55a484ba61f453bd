/** The session as Access's own endpoints tell it, which the edge answers on every protected hostname. */
import { parseDuration, type CfAccessDuration } from '../util/duration.js'
import { ACCESS_PATH } from '../access/protocol.js'

/** What Access knows of the user, unverified: for display only. */
export interface AccessIdentity {
  /** The user's address. */
  readonly email?: string
  /** The user's name. */
  readonly name?: string
  /** Whatever else Access answers. */
  readonly [member: string]: unknown
}

/**
 * Who is logged in, according to Access.
 * @returns `null` without a session
 * @throws {TypeError} when Access cannot be reached, or answers something else
 * @see Cloudflare docs: Application token, get-identity
 */
export async function whoAmI (): Promise<AccessIdentity | null> {
  const headers = { 'x-requested-with': 'XMLHttpRequest' }
  const response = await fetch(`${ACCESS_PATH}/get-identity`, { headers, cache: 'no-store', redirect: 'manual' })
  const answer: unknown = await response.json().catch(() => null)
  if (typeof answer === 'object' && answer !== null) {
    if (response.ok) return answer as AccessIdentity
    if (response.status === 400 && 'err' in answer) return null
  }
  if (response.status === 401) return null
  throw new TypeError(`Access answered get-identity with ${response.status}`)
}

let asking: Promise<'alive' | 'ended' | 'unknown'> | undefined

/** The state of the session, asked once for all who wait. `unknown`: offline, or this page is not behind Access. */
export async function sessionState (): Promise<'alive' | 'ended' | 'unknown'> {
  asking ??= whoAmI().then(identity => identity === null ? 'ended' : 'alive', () => 'unknown' as const)
    .finally(() => { asking = undefined })
  return asking
}

/** The options of {@link signOut}. */
export interface SignOutOptions {
  /** `true`: deletes all caches of this origin first, as a service worker may have filled them. Default `false`. */
  readonly clearCaches?: boolean
}

/**
 * Leaves the page and ends the user's session, for every application of the team.
 * @param returnTo an absolute URL of an application behind Access
 * @see Cloudflare docs: Session management, Log out as a user
 */
export async function signOut (returnTo?: string, { clearCaches = false }: SignOutOptions = {}): Promise<void> {
  if (clearCaches) await Promise.all((await caches.keys()).map(name => caches.delete(name)))
  location.assign(`${ACCESS_PATH}/logout${returnTo === undefined ? '' : `?${new URLSearchParams({ returnTo })}`}`)
}

// The longest that a timer can wait, in milliseconds.
const MAX_TIMER = 2 ** 31 - 1

/**
 * Calls back once, some time before a session ends, also when the computer has slept until then. Access tells a page no
 * end, so the application has to: `request.cfAccess.expiresAt`.
 * @param expiresAt milliseconds since the Unix epoch
 * @param before such as `'5m'`
 * @returns a function that cancels the callback
 * @throws {TypeError} for anything but a time and a duration
 */
export function onSessionEndSoon (expiresAt: number, before: CfAccessDuration, callback: () => void): () => void {
  const time = expiresAt - (parseDuration(before) ?? NaN)
  if (Number.isNaN(time)) throw new TypeError('onSessionEndSoon() takes milliseconds and a duration such as "5m"')
  let timer: ReturnType<typeof setTimeout>
  const cancel = (): void => {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', check)
  }
  const check = (): void => {
    clearTimeout(timer)
    const left = time - Date.now()
    if (left > 0) {
      timer = setTimeout(check, Math.min(left, MAX_TIMER))
    } else {
      cancel()
      callback()
    }
  }
  document.addEventListener('visibilitychange', check)
  timer = setTimeout(check)
  return cancel
}
