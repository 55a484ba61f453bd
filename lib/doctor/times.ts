/** Checks the times of a token, and says whose clock is wrong. */
import { expiryOf, isTime } from '../token/check-claims.js'
import { passed, rejected, type Check } from './check.js'
import type { Json } from './form.js'
import { describeForm, span } from './wording.js'

/** What times are compared with. */
export interface Clock {
  /** Seconds. */
  readonly tolerance: number
  /** By how many seconds this machine's clock is ahead; `null` where that is unknown. */
  readonly ahead: number | null
}

const FOREIGN = 'Access does not sign such times. This token is not an application token, or is of another issuer.'

/** @param now milliseconds since the Unix epoch */
export function checkTimes ({ exp, iat, nbf }: Json, clock: Clock, now: number): Check[] {
  return [
    checkEnd(exp, clock, now), checkStart('iat', 'was issued', iat, clock, now),
    ...(nbf === undefined ? [] : [checkStart('nbf', 'became valid', nbf, clock, now)]),
    ...checkLifetime(exp, iat)
  ]
}

function checkEnd (exp: unknown, { tolerance, ahead }: Clock, now: number): Check {
  if (!isTime(exp)) return malformed('exp', exp)
  const left = exp - now / 1000
  if (now < expiryOf({ exp, iat: exp }, { clockTolerance: tolerance, maxTokenAge: Infinity })) {
    return passed('exp', left > 0
      ? `The token expires in ${span(left)}.`
      : `The token expired ${span(left)} ago, within the clock tolerance.`)
  }
  return rejected('exp', `The token expired ${span(left)} ago.`, 'expired', endTodo(ahead, tolerance))
}

function endTodo (ahead: number | null, tolerance: number): string | undefined {
  if (ahead === null) return undefined
  return ahead > tolerance
    ? `The clock of this machine is ${span(ahead)} ahead: synchronize it by NTP.`
    : 'The user has to log in again: the clock of this machine is right.'
}

function checkStart (name: string, words: string, time: unknown, { tolerance, ahead }: Clock, now: number): Check {
  if (!isTime(time)) return malformed(name, time)
  const until = time - now / 1000
  if (time <= now / 1000 + tolerance) {
    return passed(name, until > 0
      ? `Its ${name} is ${span(until)} in the future, within the clock tolerance.`
      : `It ${words} ${span(until)} ago (${name}).`)
  }
  const text = `The token is not valid yet: its ${name} is ${Math.ceil(until)} s in the future.`
  return rejected(name, text, 'time', startTodo(ahead, tolerance))
}

function startTodo (ahead: number | null, tolerance: number): string | undefined {
  if (ahead === null) return undefined
  return -ahead > tolerance
    ? `The clock of this machine is ${span(ahead)} behind: synchronize it by NTP.`
    : 'The clock of this machine is right: the token was signed by a machine whose clock is ahead, so not by Access.'
}

function malformed (name: string, value: unknown): Check {
  const text = typeof value === 'number' ? `${value}, not whole seconds since 1970` : describeForm(value)
  return rejected(name, `Its ${name} is not a time: it is ${text}.`, 'time', FOREIGN)
}

function checkLifetime (exp: unknown, iat: unknown): Check[] {
  if (!isTime(exp) || !isTime(iat)) return []
  return [exp >= iat
    ? passed('lifetime', `It is valid for ${span(exp - iat)}, from iat to exp.`)
    : rejected('lifetime', 'Its exp is before its iat.', 'time', FOREIGN)]
}
