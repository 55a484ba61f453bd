/** What happens when the session has ended: once, for all requests that wait. */
import { askToLogIn } from './dialog.js'

/**
 * `'reload'`: reloads the page, which leads to the login and back; at most once a minute. `'ask'`: shows a dialog whose
 * button opens the login in a new window.
 */
export type SessionEndMode = 'reload' | 'ask'

/** `'ended'`: the session has ended. `'stuck'`: it has, though the page was reloaded less than a minute ago. */
export type SessionEndEvent = 'ended' | 'stuck'

/**
 * Decides what to do, or does it. Its result: a mode, `true` after a login of its own, or anything else for nothing:
 * the requests then get the answers and errors that they got.
 */
export type SessionEndHandler = (event: SessionEndEvent) => unknown

const RELOADED_AT = 'cf-access-reloaded-at'
const RELOADED_HASH = 'cf-access-reloaded-hash'
const ONCE_IN = 60_000
// After this a page that is still here was not reloaded: its user chose to stay.
const RELOAD_TIME = 10_000

let recovering: Promise<void> | undefined
let logins = 0

export function recoveryUnderWay (): Promise<void> | undefined {
  return recovering
}

/** How often a recovery has brought a session. A request that began before the last one may have had none. */
export function loginsSoFar (): number {
  return logins
}

export async function recover (how: SessionEndMode | SessionEndHandler): Promise<void> {
  recovering ??= begin(how).then(isLoggedIn => { if (isLoggedIn) logins++ }).finally(() => { recovering = undefined })
  return recovering
}

/** @returns whether there is a session again */
async function begin (how: SessionEndMode | SessionEndHandler): Promise<boolean> {
  const decide = async (event: SessionEndEvent): Promise<unknown> => typeof how === 'function' ? how(event) : how
  let decision = await decide('ended')
  if (decision === 'reload') {
    if (!wasReloaded()) return reload()
    if (typeof how !== 'function') return false
    decision = await decide('stuck')
  }
  return decision === 'ask' ? askToLogIn() : decision === true
}

/** A page from a cache, such as a service worker's, comes back without a login. Prevents that it reloads for ever. */
function wasReloaded (): boolean {
  const past = Date.now() - Number(sessionStorage.getItem(RELOADED_AT))
  return past >= 0 && past < ONCE_IN
}

/** Keeps path, query and hash. The waiting requests wait for the end of the page. */
async function reload (): Promise<boolean> {
  sessionStorage.setItem(RELOADED_AT, String(Date.now()))
  sessionStorage.setItem(RELOADED_HASH, location.hash)
  location.reload()
  return new Promise(resolve => { setTimeout(resolve, RELOAD_TIME, false) })
}

/** The login comes back to path and query: no server sees a hash. */
function restoreHash (): void {
  const hash = sessionStorage.getItem(RELOADED_HASH)
  sessionStorage.removeItem(RELOADED_HASH)
  if (hash !== null && hash !== '' && location.hash === '') location.replace(hash)
}

restoreHash()
