/** Loaded before a contestant: counts the signatures it has checked, by whichever of Node's ways. */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

globalThis.verifications = 0

count(crypto, 'verify')
count(crypto.Verify.prototype, 'verify')
count(crypto.webcrypto.SubtleCrypto?.prototype ?? Object.getPrototypeOf(crypto.subtle), 'verify')
syncBuiltinESMExports()

/** @param {any} owner @param {string} name */
function count (owner, name) {
  const method = owner[name]
  owner[name] = function (...args) {
    globalThis.verifications++
    return method.apply(this, args)
  }
}
