import t from 'tap'
import { Verification } from '../fixtures/verification.js'

const verification = await Verification.start(t)

// The claims themselves are one level of 32.
const MOST = 31

const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))

t.test('claims are frozen all the way down, as deep as they may be nested', async t => {
  for (const shape of [nested(MOST), { of: nested(MOST - 1) }, [1, null, 'text', nested(MOST - 1)]]) {
    const identity = await verification.expectAdmitted(t, verification.token({ custom: shape }))
    let levels = 0
    for (let value: unknown = identity.claims; typeof value === 'object' &&
      value !== null; value = Object.values(value).at(-1)) {
      t.ok(Object.isFrozen(value), `level ${levels}`)
      levels++
    }
    t.equal(levels, MOST + 1)
  }
})

t.test('claims that are nested one level deeper are rejected', async t => {
  for (const shape of [nested(MOST + 1), { of: nested(MOST) }, [1, null, 'text', nested(MOST)], [nested(MOST), 1]]) {
    await verification.expectRejected(t, verification.token({ custom: shape }), 'identity')
  }
})
