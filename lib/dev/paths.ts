/** The paths of the emulator's own pages. */
import { ACCESS_PATH } from '../access/protocol.js'

export const LOGIN = `${ACCESS_PATH}/login`
export const LOGOUT = `${ACCESS_PATH}/logout`
/** Where the login page sends the browser, on the application's site. */
export const AUTHORIZED = `${ACCESS_PATH}/authorized`
export const STYLESHEET = `${ACCESS_PATH}/emulator.css`
