/** The result of one check, and how to say it. */
import { REASONS, type CfAccessReason } from '../reasons.js'

/** What one check found. */
export interface Check {
  /** What was checked, as one word. */
  readonly name: string
  readonly ok: boolean
  /** What was found, as sentences. Never a token, an e-mail address, or a claim of unknown form. */
  readonly text: string
  /** What to do about it. */
  readonly todo?: string
  /** Why the plugin would reject a token for it. */
  readonly reason?: CfAccessReason
}

export function passed (name: string, text: string): Check {
  return { name, ok: true, text }
}

export function failed (name: string, text: string, todo: string): Check {
  return { name, ok: false, text, todo }
}

/** What to do about a check that another one has made fail. */
export function correctFirst (name: string): string {
  return `Correct what the check of the ${name} says first.`
}

/** A check that fails for what the plugin would reject a token for. */
export function rejected (
  name: string, text: string, reason: CfAccessReason, todo: string = REASONS[reason].cure
): Check {
  return { name, ok: false, text, todo, reason }
}
