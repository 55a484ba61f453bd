/** What a user sees of the emulator: plain pages that work without a script. */
import { LOGIN, LOGOUT, STYLE } from './addresses.js'
import type { Application } from './applications.js'
import { html, type Html } from './html.js'
import type { AccessUser } from './users.js'

/** Nothing but the pages' own text, style and forms. */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cache-control': 'no-store'
}

export interface Candidate extends AccessUser {
  /** Of the token this user would get. */
  readonly claims: Readonly<Record<string, unknown>>
}

export interface LoginPage {
  readonly application: Application
  /** Where the user was going. */
  readonly target: string
  readonly candidates: readonly Candidate[]
  /** The signed-in user's address, if any. */
  readonly current: string | undefined
  /** What was typed and is no address, if anything. */
  readonly mistake: string | undefined
}

export function loginPage ({ application, target, candidates, current, mistake }: LoginPage): string {
  const destination = html`<input type="hidden" name="kid" value="${application.audience}"><input type="hidden" name="redirect_url" value="${target}">`
  return page('Who do you want to be?', html`
    <p>Signing in to <strong>${application.name}</strong> takes you to <code>${target}</code>.</p>
    ${current === undefined ? [] : html`<p>Now you are <strong>${current}</strong>. <a href="${LOGOUT}">Log out</a></p>`}
    <form method="post" action="${LOGIN}">
      ${destination}
      <ul>${candidates.map(candidateItem)}</ul>
    </form>
    <form method="post" action="${LOGIN}">
      ${destination}
      <label for="email">Somebody else, by e-mail</label>
      ${mistake === undefined ? [] : html`<p id="mistake" class="mistake" role="alert">“${mistake}” is no e-mail address.</p>`}
      <div class="row">
        <input id="email" name="email" type="email" required autocomplete="off" spellcheck="false" placeholder="carol@example.com"${mistake === undefined ? [] : html` aria-invalid="true" aria-describedby="mistake"`}>
        <button>Sign in</button>
      </div>
    </form>`)
}

function candidateItem ({ email, name = email, groups = [], claims }: Candidate): Html {
  return html`
      <li>
        <div class="row">
          <p class="who"><strong>${name}</strong>${name === email ? [] : html` ${email}`}</p>
          <button name="email" value="${email}">Sign in as ${name}</button>
        </div>
        ${groups.length === 0 ? [] : html`<p class="groups">In ${groups.map(groupItem)}</p>`}
        <details>
          <summary>The token ${name} gets</summary>
          <pre><code>${JSON.stringify(claims, null, 2)}</code></pre>
        </details>
      </li>`
}

function groupItem (group: NonNullable<AccessUser['groups']>[number]): Html {
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
    <p><a href="${login}">Sign in as somebody else</a></p>`)
}

/** @param login where to sign in again */
export function loggedOutPage (login: string, isElsewhere: boolean): string {
  return page('Logged out', html`
    <p>Your session has ended, for every application here.</p>
    ${isElsewhere ? html`<p><code>returnTo</code> leads elsewhere, so it was not followed.</p>` : []}
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
    <link rel="stylesheet" href="${STYLE}">
  </head>
  <body>
    <header><p><strong>Not Cloudflare.</strong> fastify-cf-access stands in for Access here, for development only: no password, no check.</p></header>
    <main>
      <h1>${title}</h1>${content}
    </main>
  </body>
</html>
`)
}
