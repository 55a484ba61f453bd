/**
 * Measures the guard beside its peers.
 *
 *     npm run bench [-- WORK…]
 *
 * Without names all works are run. BENCH_ROUNDS (5) and BENCH_SECONDS (3) say how often and how long,
 * BENCH_ONLY names contestants by their files, such as `open,ours`.
 */
import { Access } from './access.js'
import { heading } from './report.js'
import { behaviour } from './works/behaviour.js'
import { burst } from './works/burst.js'
import { cold } from './works/cold.js'
import { cookies } from './works/cookies.js'
import { guard } from './works/guard.js'
import { memory } from './works/memory.js'
import { rejected } from './works/rejected.js'
import { start } from './works/start.js'
import { targets } from './works/targets.js'
import { verify } from './works/verify.js'
import { warm } from './works/warm.js'

const works = { behaviour, warm, cookies, cold, rejected, burst, guard, verify, targets, memory, start }

const names = process.argv.slice(2)
const unknown = names.find(name => !Object.hasOwn(works, name))
if (unknown !== undefined) throw new Error(`${unknown} is no work; there are ${Object.keys(works).join(', ')}`)

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const seconds = Number(process.env.BENCH_SECONDS ?? 3)
const access = await Access.start()

console.log(heading(`${rounds} rounds of ${seconds} s, npm run bench`))
for (const [name, work] of Object.entries(works)) {
  if (names.length > 0 && !names.includes(name)) continue
  process.stderr.write(`${name} `)
  console.log(await work({ rounds, seconds, access }))
}
await access.close()
