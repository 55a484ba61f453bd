/** The pages of the emulator. They work without scripts. */
import type { Application } from './applications.js'
import { html, type Html } from './html.js'
import { LOGIN, LOGOUT, STYLESHEET } from './paths.js'
import type { Link } from './sites.js'
import type { User } from './users.js'

/**
 * Allows only the page's own text and stylesheet. There is no `form-action`: browsers apply it to the redirects after a
 * form as well, and the login leads to another site.
 */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
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
  /** The same as a whole URL. */
  readonly place: string
  readonly candidates: readonly Candidate[]
  /** The address of the signed-in user, if any. */
  readonly current: string | undefined
  /** The text that was typed and is not an address, if any. */
  readonly mistake: string | undefined
}

export function loginPage ({ application, target, place, candidates, current, mistake }: LoginPage): string {
  const action = `${LOGIN}/${application.hostname}`
  const destination =
    html`<input type="hidden" name="kid" value="${application.audience}"><input type="hidden" name="redirect_url" value="${target}">`
  return page('Who do you want to be?', html`
    <p>Signing in to <strong>${application.name}</strong> takes you to <code>${place}</code>.</p>
    ${current === undefined
      ? []
      : html`<p>You are signed in as <strong>${current}</strong>. <a href="${LOGOUT}">Log out</a></p>`}
    <form method="post" action="${action}">
      ${destination}
      <ul>${candidates.map(candidateItem)}</ul>
    </form>
    <form method="post" action="${action}">
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
          ${data(claims)}
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
  /** What get-identity answers for this caller. */
  readonly known: Readonly<Record<string, unknown>>
  readonly login: string
}

export function forbiddenPage ({ application: { name, policy }, who, rule, known, login }: ForbiddenPage): string {
  return page('Not allowed', html`
    <dl>
      <dt>Application</dt><dd>${name}</dd>
      <dt>You are</dt><dd>${who}</dd>
      <dt>Denied by</dt><dd><code>${rule}</code></dd>
    </dl>
    <p><a href="${login}">Sign in as another user</a>, or change the policy.</p>
    <h2>The policy</h2>
    ${data(policy!.source)}
    <h2>What Access knows of you</h2>
    ${data(known)}`)
}

/** @param isIgnored whether there was a `returnTo` that leads elsewhere */
export function loggedOutPage (applications: readonly Link[], isIgnored: boolean): string {
  return page('Logged out', html`
    <p>Your session has ended, for every application here.</p>
    ${isIgnored ? html`<p><code>returnTo</code> leads to another origin, so it was not followed.</p>` : []}
    <p>Sign in again at</p>
    ${linkList(applications)}`)
}

export function unreachablePage (to: string, cause: string): string {
  return page('Your app does not answer', html`
    <dl>
      <dt>Its address</dt><dd><code>${to}</code></dd>
      <dt>What happened</dt><dd><code>${cause}</code></dd>
    </dl>
    <p>Start it, or correct <code>--to</code>, and reload this page. At Cloudflare this is an error 502.</p>`)
}

export function unknownHostPage (host: string, applications: readonly Link[]): string {
  return page('No application here', html`
    <p>No application has the hostname <code>${host}</code>. Open</p>
    ${linkList(applications)}
    <p>To add one: <code>applications: [{ hostname: 'app.localhost', path: '/' }]</code>.</p>`)
}

function linkList (links: readonly Link[]): Html {
  const items = links.map(({ name, url }) => html`<li><strong>${name}</strong> <a href="${url}">${url}</a></li>`)
  return html`<ul>${items}</ul>`
}

function data (value: unknown): Html {
  return html`<pre tabindex="0"><code>${JSON.stringify(value, nameFunction, 2)}</code></pre>`
}

/** A policy can be a function, which JSON cannot show. */
function nameFunction (_name: string, value: unknown): unknown {
  return typeof value === 'function' ? 'a function' : value
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
