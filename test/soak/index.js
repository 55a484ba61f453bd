// `npm run soak` drives one server; `npm run soak -- --fleet` drives four processes that share a store.
await import(process.argv.includes('--fleet') ? './fleet.js' : './server.js')
