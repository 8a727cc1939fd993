import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { CallStream } from "./stream.js";
import { fromRpcError } from "./errors.js";

/** A token, a supplier asked before every request (so that tokens may be short-lived), or none. */
export type Token = string | (() => string | Promise<string>) | undefined;

/** How to trust the server, and how to be trusted by it; all PEM. */
export interface Tls {
  /** Certificates that the server's must descend from; absent means those that Node trusts. */
  ca?: Buffer;
  /** The client's own certificate chain, for mutual TLS. */
  certificate?: Buffer;
  /** Its private key. */
  key?: Buffer;
}

/** How one request is made. */
export interface RequestOptions {
  /** Ends the request; it then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** How long it may take, ms; 15 s where absent. */
  timeoutMs?: number | undefined;
}

/** The unary methods of a service: a message's fields in, the answer out. */
export type UnaryClient<S extends DescService> = {
  readonly [M in keyof S["method"] as S["method"][M] extends { methodKind: "unary" } ? M : never]: (
    request: MessageInitShape<S["method"][M]["input"]>,
    options?: RequestOptions,
  ) => Promise<MessageShape<S["method"][M]["output"]>>;
};

const UNARY_MS = 15_000;
const OPTIONS: grpc.ChannelOptions = {
  // A line that went dead without a word is noticed after 30 s, not after the kernel's many minutes.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // Calls wait for the server with their own back-off; gRPC's would grow to two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.enable_retries": 0,
};

/** A channel to one server, and the token that goes with every request. */
export class Rpc {
  readonly #client: grpc.Client;
  readonly #token: Token;

  /** Prepare a connection; it is made with the first request. */
  constructor(target: string, token: Token, tls: Tls | undefined) {
    const credentials =
      tls === undefined
        ? grpc.credentials.createInsecure()
        : grpc.credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.certificate ?? null);
    this.#client = new grpc.Client(target, credentials, OPTIONS);
    this.#token = token;
  }

  /** Close the channel; requests that are under way are ended. */
  close(): void {
    this.#client.close();
  }

  /** Give the unary methods of a service as functions. */
  service<S extends DescService>(service: S): UnaryClient<S> {
    const functions = service.methods.filter(isUnary).map((method) => [
      method.localName,
      (request: MessageInitShape<DescMessage>, options?: RequestOptions) => this.unary(method, request, options),
    ]);
    return Object.fromEntries(functions) as UnaryClient<S>;
  }

  /**
   * Ask once, with the token and a deadline.
   *
   * @throws RecorderError if the server refused or could not be reached; the signal's reason when it is aborted.
   */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { signal, timeoutMs = UNARY_MS }: RequestOptions = {},
  ): Promise<MessageShape<O>> {
    const metadata = await this.#metadata();
    signal?.throwIfAborted();
    let abort: () => void = () => undefined;
    try {
      return await new Promise<MessageShape<O>>((resolve, reject) => {
        const call = this.#client.makeUnaryRequest(
          pathOf(method),
          encoder(method.input),
          decoder(method.output),
          create(method.input, request),
          metadata,
          { deadline: Date.now() + timeoutMs },
          (error, answer) => {
            if (answer === undefined) reject(error ?? new Error("gRPC gave neither an answer nor an error"));
            else resolve(answer);
          },
        );
        abort = () => { call.cancel(); };
        signal?.addEventListener("abort", abort);
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw fromRpcError(error);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Read a stream of messages; it ends with the iteration.
   *
   * @throws RecorderError if the server refused, or the stream broke; the signal's reason when it is aborted.
   */
  async *serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const metadata = await this.#metadata();
    signal?.throwIfAborted();
    const message = create(method.input, request);
    const call = this.#client.makeServerStreamRequest(
      pathOf(method), encoder(method.input), decoder(method.output), message, metadata,
    );
    // Whoever iterates learns of errors; one that comes when nobody does must not end the process.
    call.on("error", () => undefined);
    const abort = () => { call.cancel(); };
    signal?.addEventListener("abort", abort);
    try {
      for await (const answer of call) yield answer as MessageShape<O>;
    } catch (error) {
      signal?.throwIfAborted();
      throw fromRpcError(error);
    } finally {
      signal?.removeEventListener("abort", abort);
      call.cancel();
    }
  }

  /** Begin a stream of messages in both directions, whose requests are encoded already. */
  async duplex<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
  ): Promise<CallStream<MessageShape<O>>> {
    const metadata = await this.#metadata();
    const asTheyAre = (bytes: Buffer) => bytes;
    return new CallStream(
      this.#client.makeBidiStreamRequest(pathOf(method), asTheyAre, decoder(method.output), metadata),
    );
  }

  async #metadata(): Promise<grpc.Metadata> {
    const metadata = new grpc.Metadata();
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    if (token) metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  }
}

function isUnary(method: DescMethod): method is DescMethodUnary & DescMethod {
  return method.methodKind === "unary";
}

function pathOf(method: { readonly parent: DescService; readonly name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, message));
}

function decoder<D extends DescMessage>(schema: D): (bytes: Buffer) => MessageShape<D> {
  return (bytes) => fromBinary(schema, bytes);
}
