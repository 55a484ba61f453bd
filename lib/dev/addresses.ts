/** Where the stand-in's own pages are. */
import { PATH } from '../testing/endpoints.js'

export const LOGIN = `${PATH}login`
export const LOGOUT = `${PATH}logout`
export const STYLE = `${PATH}stand-in.css`

/** @param target the path to come back to */
export function loginFor (host: string, audience: string, target: string): string {
  return `${LOGIN}/${host}?${new URLSearchParams({ kid: audience, redirect_url: target })}`
}
