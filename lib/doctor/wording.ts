/** Values and times in words. A value of unknown form is told by its length: it can be a secret. */
import { readTeam } from '../access/team.js'

/** An AUD tag, in any case. */
export const TAG = /^[\da-f]{64}$/i

/** A `kid` as Access makes them. */
export const HEX = /^[\da-f]{1,128}$/i

/** @param form of the texts that are shown as they are */
export function show (value: unknown, form: RegExp): string {
  return typeof value === 'string' && form.test(value) ? value : describeForm(value)
}

/** A value by its kind and length alone. */
export function describeForm (value: unknown): string {
  if (value === undefined) return 'missing'
  if (typeof value === 'string') return `a text of ${value.length} characters`
  return Array.isArray(value) ? 'a list' : value === null ? 'null' : `of type ${typeof value}`
}

/** The URL of a team domain, or of an emulator on loopback. */
export function showTeam (value: unknown): string {
  return typeof value === 'string' && /^https?:\/\//i.test(value) && readTeam(value) !== null ? value : describeForm(value)
}

// Too short for a token, without the characters of an e-mail address, and not the secret of a service token.
const SETTING = /^(?!cfast_)[\w.:/~-]{1,63}$/

/** What an operator has set. */
export function showSetting (value: string): string {
  return TAG.test(value) ? value : show(value, SETTING)
}

/**
 * The AUD tags of a token.
 * @param own those of the settings
 */
export function showTags (aud: unknown, own: readonly string[]): string {
  const tags: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  return listed(tags.map(tag => own.some(each => each === tag) ? showSetting(tag as string) : show(tag, TAG)))
}

/** Such as `a, b and c`. */
export function listed (words: readonly string[]): string {
  return words.length === 0 ? 'none' : words.join(', ').replace(/, ([^,]*)$/, ' and $1')
}

export function plural (count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

const UNITS = [[86_400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']] as const

/** A time of so many seconds in its largest unit that leaves at least two, rounded down; whatever its sign. */
export function span (seconds: number): string {
  const whole = Math.abs(Math.trunc(seconds))
  const [length, unit] = UNITS.find(([length]) => whole >= 2 * length) ?? UNITS[3]
  return plural(Math.floor(whole / length), unit)
}
