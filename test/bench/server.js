/** One contestant in a process of its own. Answers by IPC what it has used so far. */
import { CERTS_URL } from './access.js'

const [contestant, certsUrl, setting] = process.argv.slice(2)

// The team's domain is Cloudflare's; its keys are on loopback. So each contestant can be set up
// as its own README has it, and none needs a test's back door.
const { fetch } = globalThis
globalThis.fetch = async (url, init) => {
  if (String(url) !== CERTS_URL) return fetch(url, init)
  const answer = await fetch(certsUrl, init)
  return new Response(answer.body, answer) // one that does not tell where it came from
}

const { default: start } = await import(`./contestants/${contestant}.js`)
const port = await start(JSON.parse(setting))

process.on('message', question => process.send?.(answer(question)))
process.on('disconnect', () => process.exit())
process.send?.({ port })

/** @param {unknown} question */
function answer (question) {
  if (question === 'heap') {
    global.gc?.()
    global.gc?.()
  }
  const { user, system } = process.cpuUsage()
  return { cpu: user + system, heap: process.memoryUsage().heapUsed, verifications: globalThis.verifications ?? 0 }
}
