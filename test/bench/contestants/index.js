/**
 * Who is measured, and against which open route.
 * @typedef {{ file: string, title: string, baseline: string }} Contestant
 */

const only = process.env.BENCH_ONLY?.split(',')

/** @type {Contestant[]} */
const all = [
  { file: 'open', title: 'open route', baseline: 'open' },
  { file: 'ours', title: '**fastify-cf-access**', baseline: 'open' },
  { file: 'jose', title: 'jose', baseline: 'open' },
  { file: 'fastify-jwt', title: '@fastify/jwt + get-jwks', baseline: 'open' },
  { file: 'fastify-jwt-jwks', title: 'fastify-jwt-jwks', baseline: 'open' },
  { file: 'fast-jwt', title: 'fast-jwt', baseline: 'open' },
  { file: 'fast-jwt-cached', title: 'fast-jwt, its cache on', baseline: 'open' },
  { file: 'aws-jwt-verify', title: 'aws-jwt-verify', baseline: 'open' },
  { file: 'hono-open', title: 'Hono, open route', baseline: 'hono-open' },
  { file: 'hono-access', title: '@hono/cloudflare-access', baseline: 'hono-open' }
]

export const contestants = all.filter(({ file }) => only === undefined || only.includes(file))

/** Rejects without looking, to tell a rejection's own cost from the decision's. */
export const closed = { file: 'closed', title: 'closed route', baseline: 'open' }

export const ours = all[1]
