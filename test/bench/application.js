/** The application that is guarded: one route that answers JSON. */
import fastifyCookie from '@fastify/cookie'
import { serve } from '@hono/node-server'
import Fastify from 'fastify'
import { Hono } from 'hono'

/**
 * @typedef {object} Setting
 * @property {boolean} cookies whether the token comes in a cookie, so that it has to be looked for there
 */

const ANSWER = { hello: 'world' }

/**
 * @param {(app: import('fastify').FastifyInstance, setting: Setting) => unknown} guard
 * @returns {(setting: Setting) => Promise<number>} starts it and tells the port
 */
export function onFastify (guard) {
  return async setting => {
    const app = Fastify()
    await guard(app, setting)
    app.get('/', async () => ANSWER)
    return Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  }
}

/**
 * @param {(app: Hono) => unknown} guard
 * @returns {() => Promise<number>} starts it and tells the port
 */
export function onHono (guard) {
  return async () => {
    const app = new Hono()
    guard(app)
    app.get('/', context => context.json(ANSWER))
    return new Promise(resolve =>
      serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => resolve(port)))
  }
}

/**
 * Finds the token, for those who leave that to the application.
 * @param {import('fastify').FastifyInstance} app
 * @param {Setting} setting
 * @returns {Promise<(request: import('fastify').FastifyRequest) => string>}
 */
export async function tokenReader (app, { cookies }) {
  if (!cookies) return request => String(request.headers['cf-access-jwt-assertion'])
  await app.register(fastifyCookie)
  return request => String(request.cookies.CF_Authorization)
}
