import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess } from '../../lib/index.js'
import { AUD, bearing, listen, startTeam } from '../fixtures/index.js'
import { askAll, HARMLESS, ROUTERS, SECRET, SITES, TARGETS, type Site } from '../fixtures/walk-round.js'

const team = await startTeam(t)
const token = team.userToken({ email: 'admin@acme.com', audience: AUD })

/** An application with this site, guarded or not. */
async function start (
  t: Test, options: FastifyServerOptions, site: Site, isGuarded: boolean
): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true, ...options })
  t.teardown(() => app.close())
  if (isGuarded) await app.register(cfAccess, { prefix: '/admin', teamDomain: team.domain, audience: AUD })
  await site(app, t)
  return app
}

for (const [router, options] of Object.entries(ROUTERS)) {
  t.test(`R-01 R-02 R-03 R-04 R-05 R-06 R-07 R-08 R-09 R-10 R-13 R-14 a ${router} router: who may read it as guarded, is guarded`, async t => {
    for (const [name, site] of Object.entries(SITES)) {
      const [open, guarded] =
        await Promise.all(
          [false, true].map(async isGuarded => await listen(await start(t, options, site, isGuarded)))) as [number, number]
      const [unguarded, anonymous, admitted] = await Promise.all(
        [askAll(open, TARGETS), askAll(guarded, TARGETS), askAll(guarded, TARGETS, { headers: bearing(token) })])
      const secrets = TARGETS.filter((_target, i) => unguarded[i]!.body === SECRET)
      t.ok(secrets.length > 0, `${name} gives ${secrets.length} secrets away unguarded`)
      for (const [i, target] of TARGETS.entries()) {
        if (unguarded[i]!.body === SECRET && anonymous[i]!.status !== 401) {
          t.fail(`${name}: ${target} answered ${anonymous[i]!.status}`)
        }
        if (anonymous[i]!.body.includes(SECRET)) t.fail(`${name}: ${target} gave the secret away`)
        if (admitted[i]!.status !== unguarded[i]!.status) {
          t.fail(`${name}: ${target} answers an admin ${admitted[i]!.status}, and unguarded ${unguarded[i]!.status}`)
        }
        if (anonymous[i]!.status >= 500) t.fail(`${name}: ${target} answered ${anonymous[i]!.status}`)
      }
      const [before, after] = await Promise.all([askAll(open, HARMLESS), askAll(guarded, HARMLESS)])
      t.strictSame(after.map(({ status }) => status), before.map(({ status }) => status),
        `${name} stays open where it is harmless`)
    }
  })
}

t.test('R-01 HEAD and POST go no other way', async t => {
  for (const options of Object.values(ROUTERS)) {
    for (const name of ['plain routes', 'a reader as of servlets']) {
      const [open, guarded] =
        await Promise.all(
          [false, true].map(async isGuarded => await listen(await start(t, options, SITES[name]!, isGuarded)))) as [number, number]
      for (const method of ['HEAD', 'POST']) {
        const [unguarded, reads, anonymous] = await Promise.all(
          [askAll(open, TARGETS, { method }), askAll(open, TARGETS), askAll(guarded, TARGETS, { method })])
        const reached = TARGETS.filter((_target, i) => unguarded[i]!.status === 200 && reads[i]!.body === SECRET)
        t.ok(reached.length > 5, `${method} reaches ${reached.length} secrets of ${name} unguarded`)
        for (const [i, target] of TARGETS.entries()) {
          if (reached.includes(target) && anonymous[i]!.status !== 401) {
            t.fail(`${method} ${target} answered ${anonymous[i]!.status}`)
          }
        }
      }
    }
  }
})
