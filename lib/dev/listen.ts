/** Listens on the loopback interface only. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net'
import { OptionsInvalidError } from '../errors.js'

export interface Listener {
  readonly server: Server
  readonly port: number
  close (): Promise<void>
}

/**
 * Listens on 127.0.0.1, and on ::1 where the machine has it: `localhost` can be either.
 * @param port 0 for any that is free
 * @throws {OptionsInvalidError} for a port that is not available
 */
export async function listen (port: number): Promise<Listener> {
  const server = createServer()
  try {
    await start(server, port, '127.0.0.1')
    const { port: own } = server.address() as AddressInfo
    const other = await listenOnIPv6(own, server)
    return {
      server,
      port: own,
      close: async () => {
        await Promise.all([stop(server), other === null ? undefined : stop(other), server.closeAllConnections()])
      }
    }
  } catch (error) {
    server.close()
    throw new OptionsInvalidError(`Option "port" is ${port}, which is not available: ${(error as Error).message}.`)
  }
}

/** Hands its connections to the other server. `null` on a machine without IPv6. */
async function listenOnIPv6 (port: number, server: Server): Promise<TcpServer | null> {
  const other = createTcpServer({ allowHalfOpen: true, noDelay: true }, socket => server.emit('connection', socket))
  try {
    await start(other, port, '::1')
    return other
  } catch (error) {
    if (['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(String((error as NodeJS.ErrnoException).code))) return null
    throw error
  }
}

async function start (server: TcpServer, port: number, host: string): Promise<void> {
  server.listen(port, host)
  await once(server, 'listening')
}

async function stop (server: TcpServer): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  await closed
}
