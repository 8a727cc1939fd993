// A real recorder process on free loopback ports, for the tests.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

import { applicationToken, Client, type Token } from "recorder-client";

const RECORDER = process.env["RECORDER_BIN"] ?? resolve(import.meta.dirname, "../../../../.venv/bin/recorder");

/** Why tests with a server cannot run here; false where they can. In CI they must, so there they fail. */
export const noServer: string | false =
  existsSync(RECORDER) || process.env["CI"] !== undefined ? false : `there is no ${RECORDER}: run \`make setup\`, or set RECORDER_BIN`;

/** An application on the server. */
export interface Tenant {
  applicationId: string;
  privateKeyPem: string;
}

interface Ports {
  grpc_port: number;
  http_port: number;
  metrics_port: number;
}

/** One `recorder serve` on a data directory of its own; it can be killed and started again on it. */
export class Server implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "recorder-ts-"));
  readonly #environment: Record<string, string>;
  #log = "";
  #process: ChildProcessByStdio<null, Readable, Readable> | undefined;
  #ports: Ports = { grpc_port: 0, http_port: 0, metrics_port: 0 };

  private constructor(environment: Record<string, string>) {
    this.#environment = { RECORDER_DISK_SOFT_PERCENT: "0", RECORDER_DISK_HARD_PERCENT: "0", ...environment };
  }

  static async start(environment: Record<string, string> = {}): Promise<Server> {
    const server = new Server(environment);
    await server.restart();
    return server;
  }

  get target(): string {
    return `127.0.0.1:${this.#ports.grpc_port}`;
  }

  /** Everything the server wrote to standard error. */
  get log(): string {
    return this.#log;
  }

  /** Start again, on the same data and ports. */
  async restart(): Promise<void> {
    const { grpc_port, http_port, metrics_port } = this.#ports;
    const ports = ["--grpc-port", String(grpc_port), "--http-port", String(http_port), "--metrics-port", String(metrics_port)];
    const child = spawn(RECORDER, ["serve", "--data-dir", join(this.#folder, "data"), ...ports], {
      cwd: this.#folder,
      env: { ...process.env, ...this.#environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => { this.#log += text; });
    this.#process = child;
    for await (const line of createInterface({ input: child.stdout })) {
      this.#ports = JSON.parse(line) as Ports;
      return;
    }
    throw new Error(`the server ended before it served:\n${this.#log.slice(-4000)}`);
  }

  /** End the process, by default with SIGKILL, and wait for its end. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  }

  /** Make an application. */
  async tenant(limits: { maxLiveRecordings?: number } = {}): Promise<Tenant> {
    const token = readFileSync(join(this.#folder, "data/admin-token"), "utf8").trim();
    using admin = new Client(this.target, { token });
    const application = { name: `tests ${crypto.randomUUID()}`, ...limits };
    const made = await admin.applications.createApplication({ application });
    return { applicationId: made.application?.applicationId ?? "", privateKeyPem: made.privateKeyPem };
  }

  /** Connect as an application. */
  connect({ applicationId, privateKeyPem }: Tenant, target = this.target): Client {
    return new Client(target, { token: () => applicationToken(applicationId, privateKeyPem) });
  }

  /** Connect with any token. */
  connectWith(token: Token, target = this.target): Client {
    return new Client(target, { token });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGTERM");
    rmSync(this.#folder, { recursive: true });
  }
}
