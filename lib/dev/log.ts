/** What the emulator says of requests: a line for each that is unusual, or for all. */
import type { FastifyInstance, FastifyRequest } from 'fastify'

const notes = new WeakMap<FastifyRequest, string>()

/** Says what is unusual about a request, for its line in the log. */
export function note (request: FastifyRequest, text: string): void {
  notes.set(request, text)
}

/** Says which error is unusual about a request, without the words that all errors of the emulator begin with. */
export function noteError (request: FastifyRequest, { message }: Error): void {
  note(request, message.replace(/^Emulator for Cloudflare Access: /, ''))
}

/** @param isVerbose whether requests with nothing unusual have a line too */
export function logRequests (app: FastifyInstance, write: (line: string) => void, isVerbose: boolean): void {
  app.addHook('onError', async (request, _reply, error) => {
    if (!notes.has(request)) noteError(request, error)
  })
  app.addHook('onResponse', async (request, { raw }) => {
    const text = notes.get(request)
    if (text === undefined && !isVerbose) return
    // The query can hold a code or a token.
    const path = request.originalUrl.replace(/\?.*/s, '')
    write(`${request.method} ${request.host}${path} ${raw.statusCode}${text === undefined ? '' : `: ${text}`}`)
  })
}
