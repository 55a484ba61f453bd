/** The stylesheet of the emulator's pages. It does not imitate Cloudflare's. */
export const stylesheet = `:root {
  color-scheme: light dark;
  --ground: #f5f3ff;
  --sheet: #ffffff;
  --text: #1f1a3d;
  --soft: #57517a;
  --line: #c9c2ea;
  --accent: #5b21b6;
  --on-accent: #ffffff;
  --wrong: #a4123f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14112a;
    --sheet: #1f1a3d;
    --text: #efecff;
    --soft: #b9b2dd;
    --line: #463d78;
    --accent: #c4b5fd;
    --on-accent: #1b1440;
    --wrong: #ff9db5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0;
  background: var(--ground);
  color: var(--text);
  font: 1rem/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
header {
  padding: .75rem 1rem;
  border-bottom: 2px dashed var(--accent);
  text-align: center;
}
header p { margin: 0; }
main { max-width: 40rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 1.5rem 0 .25rem; font-size: 1.1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 1rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
p { margin: .5rem 0; }
code { overflow-wrap: anywhere; }
a { color: var(--accent); }
ul { margin: 1.25rem 0; padding: 0; list-style: none; }
li { margin: 0 0 .75rem; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--sheet); }
button {
  padding: .6rem .9rem;
  border: 0;
  border-radius: .375rem;
  background: var(--accent);
  color: var(--on-accent);
  font: inherit;
  cursor: pointer;
}
button:hover { text-decoration: underline; }
:focus-visible { outline: 3px solid var(--text); outline-offset: 2px; }
.groups { color: var(--soft); }
.groups span { padding: 0 .4rem; border: 1px solid var(--line); border-radius: 1rem; }
summary { color: var(--soft); cursor: pointer; }
pre { margin: .5rem 0 0; font-size: .8125rem; white-space: pre-wrap; overflow-wrap: anywhere; }
label { display: block; margin-bottom: .25rem; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; }
.who { flex: 1 1 14rem; margin: 0; overflow-wrap: anywhere; }
input {
  flex: 1 1 14rem;
  padding: .6rem .75rem;
  border: 1px solid var(--soft);
  border-radius: .375rem;
  background: var(--sheet);
  color: inherit;
  font: inherit;
}
input::placeholder { color: var(--soft); opacity: 1; }
.mistake { color: var(--wrong); }
`
