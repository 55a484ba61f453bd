/**
 * Loaded into each test program: RSA keys come out of a file instead of being made, which takes the greater part of a
 * short test's time. A program that needs more of them, or other ones, makes them as ever.
 */
import crypto from 'node:crypto'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { promisify } from 'node:util'

const { generateKeyPair, generateKeyPairSync } = crypto
/** @type {string[]} */
const saved = JSON.parse(readFileSync(String(process.env['SAVED_KEYS']), 'utf8'))

/** @param {string} type @param {Record<string, unknown>} options */
function take (type, options) {
  const isSaved = type === 'rsa' && options['modulusLength'] === 2048 && Object.keys(options).length === 1
  const pem = isSaved ? saved.shift() : undefined
  return pem === undefined ? null : { privateKey: crypto.createPrivateKey(pem), publicKey: crypto.createPublicKey(pem) }
}

Object.assign(crypto, {
  generateKeyPair: Object.assign(generateKeyPair.bind(null), {
    [promisify.custom]: async (/** @type {'rsa'} */ type, /** @type {{ modulusLength: 2048 }} */ options) =>
      take(type, options) ?? await promisify(generateKeyPair)(type, options)
  }),
  generateKeyPairSync: (/** @type {'rsa'} */ type, /** @type {{ modulusLength: 2048 }} */ options) =>
    take(type, options) ?? generateKeyPairSync(type, options)
})
syncBuiltinESMExports()
