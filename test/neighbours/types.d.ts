// What an app declares for the plugins beside this one.
import type { CfAccessIdentity } from 'fastify-cf-access'

declare module 'fastify' {
  interface Session {
    visits: number
  }
}

declare module '@fastify/request-context' {
  interface RequestContextData {
    identity: CfAccessIdentity | null
  }
}
