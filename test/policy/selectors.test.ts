/**
 * What each selector answers about an identity. That policies agree in every place they can stand is policy.test.ts's.
 */
import { domainToASCII } from 'node:url'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { cfAccess, type CfAccessGroupSelector, type CfAccessPolicy } from '../../lib/index.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'

// The same values each time, unless others are asked for.
const seed = Number(process.env['PROPERTY_SEED'] ?? 2026)
t.comment(`PROPERTY_SEED=${seed}`)

const team = await startTeam(t)

const user = (email: string, claims = {}): string => team.userToken({ email, audience: AUD, claims })
const known = (identity: Record<string, unknown>): string => team.userToken({
  email: 'a@acme.com',
  audience: AUD,
  identity
})
const certificate = (commonName: string): string => team.certificateToken({ commonName, audience: AUD })

/** The status with which a registration of this policy answers a token. */
function start (t: Test, policy: CfAccessPolicy): (token: string) => Promise<number> {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy })
  app.get('/', async () => 'in')
  return async token => (await app.inject({ url: '/', headers: bearing(token) })).statusCode
}

async function expectEach (t: Test, status: number, policy: CfAccessPolicy, tokens: readonly string[]): Promise<void> {
  const ask = start(t, policy)
  for (const [i, token] of tokens.entries()) t.equal(await ask(token), status, `${JSON.stringify(policy)}, token ${i}`)
}

const expectAllowed = async (t: Test, policy: CfAccessPolicy, ...tokens: string[]): Promise<void> =>
  await expectEach(t, 200, policy, tokens)
const expectDenied = async (t: Test, policy: CfAccessPolicy, ...tokens: string[]): Promise<void> =>
  await expectEach(t, 403, policy, tokens)

const UUID = 'c1a5e0de-2f3b-4f7e-9d1c-3a7b5e9f1d2c'
const OKTA = '00gab1cd2EF3gh4ij5d7'
const HEX = '5e2b1cffe1b2a3d4c5b6a7f8'

t.test('P-20 a group named like another\'s ID or e-mail address is not that group', async t => {
  for (const id of [UUID, UUID.toUpperCase(), OKTA, HEX, '7abcdefghijklmnopqrs', 'a1234567890123456789']) {
    await expectAllowed(t, { include: { group: id } }, known({ groups: [{ id }] }),
      known({ groups: [{ id: id.toLowerCase(), name: 'x' }] }))
    const imposters = [{ id: '7', name: id }, id, { email: id }].map(group => known({ groups: [group] }))
    await expectDenied(t, { include: { group: id } }, ...imposters)
    await expectDenied(t, { require: { group: id } }, ...imposters)
    await expectDenied(t, { exclude: { group: id } }, known({ groups: [{ id }] }), ...imposters)
    await expectAllowed(t, { exclude: { group: id } },
      known({ groups: [{ id: '7', name: 'staff', email: 'staff@acme.com' }, 'staff'] }))
  }
  const email = 'admins@acme.com'
  const imposters = [{ id: email }, { name: email }, email].map(group => known({ groups: [group] }))
  await expectAllowed(t, { include: { group: email } }, known({ groups: [{ email }] }))
  await expectDenied(t, { include: { group: email } }, ...imposters)
  await expectDenied(t, { exclude: { group: email } }, known({ groups: [{ email }] }), ...imposters)
})

t.test('P-20 any other text is a group\'s ID or name', async t => {
  for (const text of ['admins', 'contractors2026', '00gshort', 'abcdefghijklmnopqrstuvwxyz', '12345678901234567890',
    'engineering-berlin-2026-x', UUID.slice(1), `team-${UUID}`, `${OKTA}-team`, ' with blanks around ']) {
    await expectAllowed(t, { include: { group: text } }, known({ groups: [{ id: text }] }),
      known({ groups: [{ name: text }] }), known({ groups: [text] }))
    await expectDenied(t, { include: { group: text } }, known({ groups: [{ email: text }] }))
    await expectDenied(t, { exclude: { group: text } }, known({ groups: [{ id: text }] }), known({ groups: [text] }),
      known({ groups: [{ email: text }] }))
  }
})

t.test('P-20 { id }, { name } and { email } match that member alone', async t => {
  const groups = { id: 'x@acme.com', name: 'x@acme.com', email: 'x@acme.com' }
  for (const member of ['id', 'name', 'email'] as const) {
    const rule = { group: { [member]: 'X@acme.com' } as unknown as CfAccessGroupSelector }
    for (const [told, text] of Object.entries(groups)) {
      const token = known({ groups: [{ [told]: text }] })
      t.equal(await start(t, { include: rule })(token), told === member ? 200 : 403,
        `include { ${member} }, told ${told}`)
      t.equal(await start(t, { exclude: rule })(token), told === member ? 403 : 200,
        `exclude { ${member} }, told ${told}`)
    }
  }
  await expectAllowed(t, { include: { group: [{ id: '7' }, 'staff', { name: OKTA }] } }, known({ groups: [OKTA] }),
    known({ groups: ['staff'] }), known({ groups: [{ id: '7' }] }))
  await expectDenied(t, { include: { group: [{ id: '7' }, 'staff', { name: OKTA }] } }, known({ groups: ['7'] }),
    known({ groups: [{ id: OKTA }] }))
})

/** The answers of include, require and exclude to one value of a claim. */
async function claimAnswers (
  t: Test, values: ReadonlyArray<string | number | boolean>
): Promise<(claim: unknown) => Promise<number[]>> {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  for (const rule of ['include', 'require', 'exclude'] as const) {
    app.get(`/${rule}`,
      { config: { cfAccess: { [rule]: { claim: { 'custom.x': values } } } as unknown as CfAccessPolicy } }, async () => 'in')
  }
  return async claim => {
    const headers = bearing(user('a@acme.com', { custom: { x: claim } }))
    return await Promise.all(
      ['/include', '/require', '/exclude'].map(async url => (await app.inject({ url, headers })).statusCode))
  }
}

t.test('P-21 a claim that is not a scalar or a list of scalars cannot be answered', async t => {
  const answers = await claimAnswers(t, ['a', 7, true])
  const unknown: unknown[] = [undefined, null, {}, { a: 'a' }, { toString: 'a' }, [null], [{}], [[]], [['a']],
    ['a', null], [null, 'a'], [7, {}], ['b', [7]], [true, ['a']], [{ value: 'a' }], [['b'], 'b']]
  for (const claim of unknown) t.strictSame(await answers(claim), [403, 403, 403], JSON.stringify(claim))
  for (const claim of ['a', 7, true, ['a'], ['b', 7], [true, 'b']]) {
    t.strictSame(await answers(claim), [200, 200, 403], JSON.stringify(claim))
  }
  for (const claim of ['b', 8, false, 0, '', [], ['b'], ['b', 8, false]]) {
    t.strictSame(await answers(claim), [403, 403, 200], JSON.stringify(claim))
  }
  for (const claim of ['A', '7', 'true', ['b', 'TRUE'], '\uFF41', 'a.']) {
    t.strictSame(await answers(claim), [403, 403, 403], `written differently: ${JSON.stringify(claim)}`)
  }
})

t.test('P-21 a claim of any JSON value is answered as the model says', async t => {
  const values = ['a', 'B\u00FCro', 7, true] as const
  const answers = await claimAnswers(t, values)
  const scalar = fc.oneof(fc.constantFrom(...values, 'A', '7', 'Bu\u0308ro', 8, false, ''), fc.string(),
    fc.double({ noNaN: true, noDefaultInfinity: true }))
  const member = fc.oneof({ weight: 4, arbitrary: scalar }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) })
  const claim = fc.oneof(scalar, fc.array(member, { maxLength: 4 }), fc.jsonValue({ maxDepth: 4 }))
  const isScalar = (value: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof value)
  await fc.assert(fc.asyncProperty(claim, async claim => {
    const members: unknown[] = Array.isArray(claim) ? claim : [claim]
    const isKnown = members.every(isScalar)
    const matches = isKnown && members.some(member => values.some(value => value === member))
    const isNear = members.some(
      member => values.some(value => String(member).normalize('NFKC').toLowerCase() === String(value).toLowerCase()))
    const [include, require, exclude] = await answers(claim)
    t.equal(include, matches ? 200 : 403)
    t.equal(require, include)
    if (!isKnown || isNear) t.equal(exclude, 403)
    // What else cannot be told apart from a value is P-22's to say; such text is never plain ASCII.
    else if (members.every(member => /^[ -~]*$/.test(String(member)) && !/\.$/.test(String(member)))) {
      t.equal(exclude, 200)
    }
  }), { seed, numRuns: 300 })
})

/** Ways to write the same text: what differs between systems, and what no system may be relied on to tell apart. */
const spellings = (text: string): string[] =>
  [...new Set([text.toUpperCase(), text.toLowerCase(), text.normalize('NFC'), text.normalize('NFD'),
    text.normalize('NFKC'), text.normalize('NFKD'), `${text}.`, text.replaceAll('.', '\u3002'),
    text.replaceAll('.', '\uFF0E'), text.replaceAll('a', '\uFF41'), text.replace('c', 'c\u00AD'),
    text.replace(/[^@]*$/, domain => domainToASCII(domain) || domain),
    text.replace(/[^@]*$/, domain => (domainToASCII(domain) || domain).toUpperCase())])]
    .filter(other => ascii(other) !== ascii(text))
const ascii = (text: string): string => text.replace(/[A-Z]/g, letter => letter.toLowerCase())

t.test('P-22 another spelling of an excluded value is denied, and one of an included value does not match', async t => {
  const addresses = ['caf\u00E9@acme.com', 'a@b\u00FCcher.example', '\u00DCnal@stra\u00DFe.example',
    '\u65E5\u672C@\u4F8B\u3048.jp', '\u039F\u03B4\u03CC\u03C2@\u03B5\u03BB.example',
    'kelvin@acme.com', '\uFB01le@acme.com', 'I\u015F\u0131k@acme.com']
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const rules: Array<{ url: string, selector: 'email' | 'emailDomain', value: string, rule: string }> = []
  for (const address of addresses) {
    for (const [selector, value] of [['email', address], ['emailDomain', address.split('@')[1]!]] as const) {
      for (const rule of ['include', 'require', 'exclude']) {
        const url = `/${rules.length}`
        rules.push({ url, selector, value, rule })
        app.get(url, { config: { cfAccess: { [rule]: { [selector]: value } } as unknown as CfAccessPolicy } },
          async () => 'in')
      }
    }
  }
  let compared = 0
  for (const { url, selector, value, rule } of rules) {
    const asked = async (text: string): Promise<number> =>
      (await app.inject({ url, headers: bearing(user(selector === 'email' ? text : `x@${text}`)) })).statusCode
    t.equal(await asked(value), rule === 'exclude' ? 403 : 200, `${rule} ${value}: itself`)
    for (const other of spellings(value)) {
      t.equal(await asked(other), 403, `${rule} ${value}: ${other}`)
      compared++
    }
    for (const other of ['\u00E9a@acme.com', 'caf\u00E8@acme.com',
      '\u044F@\u043F\u0440\u0438\u043C\u0435\u0440.example', 'x@b\u00FCcherei.example', 'x@xn--bcherei-n2a.example',
      'x@xn--zzzzzzz99.example']) {
      const text = selector === 'email' ? other : other.split('@')[1]!
      if (value !== text) {
        t.equal(await asked(text), rule === 'exclude' ? 200 : 403, `${rule} ${value}: unrelated ${text}`)
      }
    }
  }
  t.ok(compared > 100, `${compared} spellings`)
})

t.test('P-22 the same holds for every letter and every spelling of it', async t => {
  const letter =
    fc.oneof(fc.integer({ min: 0xA1, max: 0x24F }), fc.integer({ min: 0x370, max: 0x52F }),
      fc.integer({ min: 0x1E00, max: 0x1FFF }), fc.integer({ min: 0xAC00, max: 0xD7A3 }), fc.integer({
        min: 0x10400,
        max: 0x1044F
      }))
      .map(point => String.fromCodePoint(point)).filter(text => /^[\p{L}]$/u.test(text))
  await fc.assert(fc.asyncProperty(letter, async letter => {
    const email = `x${letter}y@acme.com`
    const exclude = start(t, { exclude: { email } })
    for (const other of spellings(email)) t.equal(await exclude(user(other)), 403, `${email}: ${other}`)
    t.equal(await exclude(user(email.replace('x', 'z'))), 200, email)
  }), { seed, numRuns: 60 })
})

t.test('P-22 the same holds for the other selectors', async t => {
  const cases: Array<[object, string, string]> = [
    [{ group: 'B\u00FCro' }, known({ groups: ['Bu\u0308ro'] }), known({ groups: ['B\u00FCroklammer'] })],
    [{ group: 'B\u00FCro' }, known({ groups: ['staff', { id: 'B\u00DCRO' }] }), known({ groups: ['staff'] })],
    [{ group: { name: 'B\u00FCro' } }, known({ groups: [{ name: 'B\u00DCRO' }] }), known({ groups: [{ id: 'B\u00DCRO' }] })],
    [{ group: 'ops@b\u00FCcher.example' }, known({ groups: [{ email: 'ops@xn--bcher-kva.example' }] }), known({ groups: [{ email: 'ops@bucher.example' }] })],
    [{ commonName: 'pump.b\u00FCcher.example' }, certificate('pump.xn--bcher-kva.example'), certificate('pump.bucher.example')],
    [{ commonName: 'pump.example.com' }, certificate('PUMP.example.com.'), certificate('xpump.example.com')],
    [{ emailDomain: 'xn--zzzzzzz99.example' }, user('a@XN--zzzzzzz99.example.'), user('a@xn--a.example')],
    [{ serviceToken: 'k.access' }, team.serviceToken({ clientId: '\u212A.access', audience: AUD }), team.serviceToken({ clientId: 'l.access', audience: AUD })],
    [{ identityProvider: 'okta' }, known({ idp: { id: 'x', type: '\uFF4Fkta' } }), known({ idp: { id: 'x', type: 'azureAD' } })],
    [{ authMethod: 'sms' }, known({ amr: ['pwd', '\u017Fms'] }), known({ amr: ['pwd'] })],
    [{ country: 'US' }, user('a@acme.com', { country: '\uFF35\uFF33' }), user('a@acme.com', { country: 'FR' })],
    // What differs occurs several times, and each occurrence counts.
    [{ emailDomain: 'b\u00FCcher.stra\u00DFe.example' }, user('a@xn--bcher-kva.xn--strae-oqa.example'), user('a@xn--bcher-kva.strae.example')],
    [{ emailDomain: 'a.b.c.example' }, user('x@a\u3002b\u3002c\u3002example'), user('x@a\u3002b\u3002cexample')],
    [{ group: 'iiii' }, known({ groups: ['\u0130i\u0307\u0130\u0130'] }), known({ groups: ['\u0130\u0130\u0130'] })],
    [{ group: 'admins' }, known({ groups: ['a\u00ADd\u200Bm\u00ADi\u00ADns'] }), known({ groups: ['a\u00ADdm\u00ADn'] })],
    // Canonically equal: marks in another order, and a mark that an invisible character parts from its letter.
    [{ group: '\u03B1\u0301\u0345' }, known({ groups: ['\u03B1\u0345\u0301'] }), known({ groups: ['\u03B1\u0345'] })],
    [{ emailDomain: 'xn--bcher-kva\u00E9.example' }, user('a@xn--bcher-kvae\u00AD\u0301.example'), user('a@xn--bcher-kvae.example')],
    [{ emailDomain: 'xn--bcher-kva\u00DF.example' }, user('a@xn--bcher-kva\u1E9E.example'), user('a@xn--bcher-kva.example')]
  ]
  for (const [selectors, near, unrelated] of cases) {
    await expectDenied(t, { include: selectors } as unknown as CfAccessPolicy, near, unrelated)
    await expectDenied(t, { exclude: selectors } as unknown as CfAccessPolicy, near)
    await expectAllowed(t, { exclude: selectors } as unknown as CfAccessPolicy, unrelated)
  }
})

t.test('P-03 P-22 an @ in any form makes an address one of no domain', async t => {
  for (const email of ['x@acme.com\uFF20evil.com', 'x\uFF20evil.com', 'x\uFE6Bevil.com', 'x@y\uFE6Bevil.com', '@',
    'x@']) {
    await expectDenied(t, { include: { emailDomain: ['acme.com', 'evil.com'] } }, user(email))
    if (email !== '@' && email !== 'x@') await expectDenied(t, { exclude: { emailDomain: 'evil.com' } }, user(email))
  }
})

t.test('P-23 a wildcard certificate\'s name is that name; exclude denies what it covers too', async t => {
  await expectAllowed(t, { include: { commonName: '*.example.com' } }, certificate('*.example.com'),
    certificate('*.EXAMPLE.com'))
  await expectDenied(t, { include: { commonName: '*.example.com' } }, certificate('pump.example.com'),
    certificate('example.com'), certificate('*.pump.example.com'))
  await expectDenied(t, { exclude: { commonName: '*.example.com' } }, certificate('*.example.com'),
    certificate('pump.example.com'), certificate('PUMP.example.com.'))
  await expectAllowed(t, { exclude: { commonName: '*.example.com' } }, certificate('example.com'),
    certificate('pump.example.org'), certificate('pump'), user('a@acme.com'))
  for (const commonName of ['7', ' pump ']) await expectAllowed(t, { include: { commonName } }, certificate(commonName))
})

t.test('M-08 only a name that ends in .access is a service token\'s', async t => {
  for (const commonName of ['x.access.example', 'access', '.access.', 'x.accessory']) {
    await expectDenied(t, { include: { serviceToken: true } }, certificate(commonName))
    await expectAllowed(t, { include: { commonName: true } }, certificate(commonName))
  }
})
