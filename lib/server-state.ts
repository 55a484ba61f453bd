/** What all registrations of one Fastify server share. */
import type { FastifyInstance } from 'fastify'
import { RegistrationRegistry } from './coverage/registry.js'
import { SignOuts } from './identity/sign-outs.js'
import type { KeyObserver } from './keys/key-set.js'

export interface ServerState {
  readonly registry: RegistrationRegistry
  /** One for all registrations, so that each refresh is logged once. */
  readonly keyObserver: KeyObserver
  readonly signOuts: SignOuts
}

const states = new WeakMap<object, ServerState>()

/** The state of the server that an instance belongs to: all scopes share the server object, and no decorator. */
export function serverStateOf ({ server, log }: FastifyInstance): ServerState {
  let state = states.get(server)
  if (state === undefined) {
    state = { registry: new RegistrationRegistry(), keyObserver: logTo(log), signOuts: new SignOuts() }
    states.set(server, state)
  }
  return state
}

function logTo (log: FastifyInstance['log']): KeyObserver {
  return {
    rotated: (url, kids) => log.info({ url, kids }, 'Cloudflare Access keys changed'),
    failed: (url, reason) => log.warn({ url, reason }, 'Cloudflare Access keys could not be refreshed')
  }
}
