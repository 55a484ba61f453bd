/** The functions of @fastify/cookie that the library uses. */
import type { SerializeOptions } from '@fastify/cookie'

export interface CookieCodec {
  readonly parseCookie: ParseCookie
  readonly serializeCookie: (name: string, value: string, options?: SerializeOptions) => string
}

export type ParseCookie = (header: string) => Record<string, string | undefined>
