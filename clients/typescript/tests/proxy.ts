// A line to a server that can be cut, and refused.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server as Listener, type Socket } from "node:net";

/** A TCP proxy on loopback. */
export class Proxy implements AsyncDisposable {
  readonly #listener: Listener;
  readonly #sockets = new Set<Socket>();
  #refusing = false;

  private constructor(port: number) {
    this.#listener = createServer((client) => {
      if (this.#refusing) {
        client.resetAndDestroy();
        return;
      }
      const server = connect(port, "127.0.0.1");
      for (const [socket, other] of [[client, server], [server, client]] as const) {
        this.#sockets.add(socket);
        socket.pipe(other);
        socket.on("error", () => other.destroy());
        socket.on("close", () => this.#sockets.delete(socket) && other.destroy());
      }
    });
  }

  static async to(target: string): Promise<Proxy> {
    const proxy = new Proxy(Number(target.split(":")[1]));
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  get target(): string {
    return `127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** Reset all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Cut, and let nobody in until `accept`. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  /** Let everybody in again. */
  accept(): void {
    this.#refusing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#listener.close();
    await once(this.#listener, "close");
  }
}
