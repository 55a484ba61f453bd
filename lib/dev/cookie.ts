/** The cookie that holds a browser's session. */
import type {} from '@fastify/cookie'
import type { FastifyReply } from 'fastify'
import { TOKEN_COOKIE } from '../access/protocol.js'
import type { Session } from './sessions.js'

/** `'none'` is Access's default and needs `Secure`, which browsers other than Safari accept from a loopback address. */
export type SameSite = 'lax' | 'none'

/** Sets the session cookie, which lasts as long as the session. */
export function setSession (reply: FastifyReply, { token, claims: { exp } }: Session, sameSite: SameSite): void {
  reply.setCookie(TOKEN_COOKIE, token, {
    path: '/',
    httpOnly: true,
    sameSite,
    secure: sameSite === 'none',
    maxAge: exp - Math.floor(Date.now() / 1000)
  })
}
