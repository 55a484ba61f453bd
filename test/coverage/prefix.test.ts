import t from 'tap'
import { cfAccess } from '../../lib/index.js'
import { AUD, createApp, listen, sendRaw, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)

/** Routes that opt out below a guarded `/admin`, targets that the opt-out opens, and targets that stay guarded. */
const OPT_OUTS: ReadonlyArray<readonly [pattern: string, open: readonly string[], guarded: readonly string[]]> = [
  ['/admin/:file', ['/admin/a', '/admin/a%20b'], ['/admin/a%2fb', '/admin/a%5cb', '/admin/%20', '/admin/..%2fx']],
  ['/admin/public/:file', ['/admin/public/a'], ['/admin/public/a%2fb', '/admin/public/%20', '/admin/public/;a']],
  ['/admin/:a/:b', ['/admin/a/b'], ['/admin/%20/b', '/admin/a/b%2fc']],
  ['/admin/:a?', ['/admin', '/admin/a'], ['/admin/a%2fb']],
  ['/admin/files/*', ['/admin/files/', '/admin/files/a', '/admin/files/a/b', '/admin/files/a%2fb', '/admin/files/a%20'],
    ['/admin/files/a/../b']],
  ['/admin/:x/*', ['/admin/a/', '/admin/a/b/c'], ['/admin/%20/']],
  ['/admin/files/pre*', ['/admin/files/prefix', '/admin/files/pre%2fx'], ['/admin/files/pre%20']],
  ['/admin/:a([^/]+)/:b([^/]+)', ['/admin/a/b'], ['/admin/a/b%2fc']],
  ['/admin/:a((x|y)[^/]*)', ['/admin/x', '/admin/yz'], ['/admin/x%2fy']],
  ['/admin/a::b::c/:d', ['/admin/a:b:c/d'], ['/admin/a:b:c/%20']],
  ['/admin/v:version/x', ['/admin/v1/x'], ['/admin/v%2fw/x']]
]

t.test('an opt-out opens the paths that the route\'s pattern matches, and no other', async t => {
  for (const [pattern, open, guarded] of OPT_OUTS) {
    const app = createApp(t)
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/admin' })
    app.get(pattern, { config: { cfAccess: false } }, async () => 'in')
    const port = await listen(app)
    for (const target of open) t.equal((await sendRaw(port, target)).status, 200, `${pattern} opens ${target}`)
    for (const target of guarded) t.equal((await sendRaw(port, target)).status, 401, `${pattern} does not open ${target}`)
  }
})
