/** The paths of the emulator's own pages. */
import { ACCESS_PATH } from '../access/protocol.js'

export const LOGIN = `${ACCESS_PATH}/login`
export const LOGOUT = `${ACCESS_PATH}/logout`
export const STYLESHEET = `${ACCESS_PATH}/emulator.css`

/** @param target the path to come back to */
export function loginFor (host: string, audience: string, target: string): string {
  return `${LOGIN}/${host}?${new URLSearchParams({ kid: audience, redirect_url: target })}`
}
