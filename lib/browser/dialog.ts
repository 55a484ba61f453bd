/** The dialog that asks a user to log in again. */
import { sessionState } from './session.js'

// Milliseconds between two questions whether the login has succeeded.
const INTERVAL = 2_000

/**
 * Shows the dialog until there is a session again, or the user closes it. Success is noticed by asking Access: a window
 * that a policy of its own separates from this one (COOP) looks closed from here, and cannot send messages.
 * @returns whether there is a session
 */
export async function askToLogIn (): Promise<boolean> {
  const dialog = document.createElement('dialog')
  const text = document.createElement('p')
  const button = document.createElement('button')
  dialog.setAttribute('aria-label', 'Session ended')
  text.textContent = 'Your session has ended. Log in again to go on where you are.'
  button.textContent = 'Log in'
  // A window that was not opened by a click would be blocked.
  let login: Window | null = null
  button.addEventListener('click', () => { login = open(location.href, '_blank', 'popup,width=600,height=700') })
  dialog.append(text, button)
  document.body.append(dialog)
  dialog.showModal()
  const isLoggedIn = await untilLoggedIn(dialog)
  dialog.remove()
  if (isLoggedIn) (login as Window | null)?.close()
  return isLoggedIn
}

async function untilLoggedIn (dialog: HTMLDialogElement): Promise<boolean> {
  while (dialog.open) {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, INTERVAL)
      dialog.addEventListener('close', () => { clearTimeout(timer); resolve() }, { once: true })
    })
    if (await sessionState() === 'alive') return true
  }
  return false
}
