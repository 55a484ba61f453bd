/** The pages of the emulator. They work without scripts. */
import { LOGIN, LOGOUT, STYLESHEET } from './paths.js'
import type { Application } from './applications.js'
import { html, type Html } from './html.js'
import type { User } from './users.js'

/** Allows only the page's own text, stylesheet and forms. */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cache-control': 'no-store'
}

export interface Candidate {
  readonly user: User
  /** The claims of the token that this user would get. */
  readonly claims: Readonly<Record<string, unknown>>
}

export interface LoginPage {
  readonly application: Application
  /** The path that the user asked for. */
  readonly target: string
  readonly candidates: readonly Candidate[]
  /** The address of the signed-in user, if any. */
  readonly current: string | undefined
  /** The text that was typed and is not an address, if any. */
  readonly mistake: string | undefined
}

export function loginPage ({ application, target, candidates, current, mistake }: LoginPage): string {
  const destination =
    html`<input type="hidden" name="kid" value="${application.audience}"><input type="hidden" name="redirect_url" value="${target}">`
  return page('Who do you want to be?', html`
    <p>Signing in to <strong>${application.name}</strong> takes you to <code>${target}</code>.</p>
    ${current === undefined
      ? []
      : html`<p>You are signed in as <strong>${current}</strong>. <a href="${LOGOUT}">Log out</a></p>`}
    <form method="post" action="${LOGIN}">
      ${destination}
      <ul>${candidates.map(candidateItem)}</ul>
    </form>
    <form method="post" action="${LOGIN}">
      ${destination}
      <label for="email">Another user, by e-mail address</label>
      ${mistake === undefined
        ? []
        : html`<p id="mistake" class="mistake" role="alert">“${mistake}” is not an e-mail address.</p>`}
      <div class="row">
        <input id="email" name="email" type="email" required autocomplete="off" spellcheck="false" placeholder="carol@example.com"${mistake === undefined ? [] : html` aria-invalid="true" aria-describedby="mistake"`}>
        <button>Sign in</button>
      </div>
    </form>`)
}

function candidateItem ({ user, claims }: Candidate): Html {
  const { email, groups } = user
  const name = user.name ?? email
  return html`
      <li>
        <div class="row">
          <p class="who"><strong>${name}</strong>${name === email ? [] : html` ${email}`}</p>
          <button name="email" value="${email}">Sign in as ${name}</button>
        </div>
        ${groups === null || groups.length === 0 ? [] : html`<p class="groups">In ${groups.map(groupItem)}</p>`}
        <details>
          <summary>The token ${name} gets</summary>
          <pre><code>${JSON.stringify(claims, null, 2)}</code></pre>
        </details>
      </li>`
}

function groupItem (group: NonNullable<User['groups']>[number]): Html {
  return html`<span>${typeof group === 'string' ? group : group.name ?? group.email ?? group.id ?? ''}</span> `
}

export interface ForbiddenPage {
  readonly application: Application
  readonly who: string
  /** The rule of the policy that denies. */
  readonly rule: string
  readonly login: string
}

export function forbiddenPage ({ application, who, rule, login }: ForbiddenPage): string {
  return page('Not allowed', html`
    <p>You are <strong>${who}</strong>, and the policy of <strong>${application.name}</strong> denies you access by its <code>${rule}</code>.</p>
    <p><a href="${login}">Sign in as another user</a></p>`)
}

/** @param login the path for signing in again */
export function loggedOutPage (login: string, isElsewhere: boolean): string {
  return page('Logged out', html`
    <p>Your session has ended, for every application here.</p>
    ${isElsewhere ? html`<p><code>returnTo</code> leads to another origin, so it was not followed.</p>` : []}
    <p><a href="${login}">Sign in again</a></p>`)
}

function page (title: string, content: Html): string {
  return String(html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title} · emulator for Access</title>
    <link rel="stylesheet" href="${STYLESHEET}">
  </head>
  <body>
    <header><p><strong>Not Cloudflare.</strong> fastify-cf-access emulates Access here, for development only: no password, no check.</p></header>
    <main>
      <h1>${title}</h1>${content}
    </main>
  </body>
</html>
`)
}
