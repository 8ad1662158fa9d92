/** Sends many requests, each exactly as it says, and tells what became of it. */
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { upstreamHeader } from "./upstreams.ts";
import type { WireRequest } from "./requests.ts";

/** `status` 0: the connection or the stream was reset without an answer. */
export interface Answer {
  status: number;
  /** the upstream that answered */
  reached?: string;
  /** `RateLimit-Policy`, which the filter adds */
  policy?: string;
  /** why the filter refused */
  reason?: string;
}

const pipelined = 8;
const http1Connections = 4;
const http2Streams = 16;
const answerTimeoutMs = 60_000;

/** The answers in the order of the requests. */
export async function sendAll(port: number, requests: readonly WireRequest[]): Promise<Answer[]> {
  const answers: Answer[] = Array.from({ length: requests.length });
  const indexed = requests.map((request, index) => ({ request, index }));
  const put = (index: number, answer: Answer): void => void (answers[index] = answer);
  await Promise.all([
    sendHttp1(
      port,
      indexed.filter(({ request }) => request.protocol === "http1"),
      put,
    ),
    sendHttp2(
      port,
      indexed.filter(({ request }) => request.protocol === "http2"),
      put,
    ),
  ]);
  return answers;
}

interface Indexed {
  request: WireRequest;
  index: number;
}
type Put = (index: number, answer: Answer) => void;

async function sendHttp1(port: number, requests: readonly Indexed[], put: Put): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: http1Connections }, async () => {
      let connection: RawConnection | undefined;
      while (next < requests.length) {
        let batch = requests.slice(next, (next += pipelined));
        next = Math.min(next, requests.length);
        // What follows a request that ends the connection is sent again, on another one.
        while (batch.length > 0) {
          const fresh = connection === undefined;
          connection ??= await RawConnection.open(port);
          const answered = await connection.pipeline(
            batch.map(({ request }) => request),
            (nth, answer) => put(batch[nth]!.index, answer),
          );
          if (answered < batch.length) {
            connection.close();
            connection = undefined;
            // A new connection that ends without a single answer was ended by its first request.
            if (answered === 0 && fresh) put(batch[0]!.index, { status: 0 });
            batch = batch.slice(answered === 0 && fresh ? 1 : answered);
          } else batch = [];
        }
      }
      connection?.close();
    }),
  );
}

function http1Bytes({ method, target, hosts, headers }: WireRequest): Buffer {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...hosts.map((host) => `Host: ${host}`),
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

class RawConnection {
  private received = "";
  private ended = false;
  private closing = false;
  private wake: () => void = () => {};

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.setTimeout(answerTimeoutMs, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      this.received += chunk.toString("latin1");
      this.wake();
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.ended = true;
      this.wake();
    });
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  /** Sends them at once; how many were answered before the connection ended. */
  async pipeline(requests: readonly WireRequest[], answered: (nth: number, answer: Answer) => void): Promise<number> {
    this.socket.write(Buffer.concat(requests.map(http1Bytes)));
    for (let nth = 0; nth < requests.length; nth++) {
      const answer = await this.read(requests[nth]!.method === "HEAD");
      if (answer === undefined) return nth;
      answered(nth, answer);
    }
    return requests.length;
  }

  private async read(isHead: boolean): Promise<Answer | undefined> {
    if (this.closing) return undefined;
    const head = await this.take((received) => endAfter(received, "\r\n\r\n", 0));
    if (head === undefined) return undefined;
    const lines = head.trimEnd().split("\r\n");
    const headers = new Map(
      lines
        .slice(1)
        .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    // What Envoy's parser refuses may have a body even to HEAD.
    if (headers.get("connection") === "close") this.closing = true;
    const status = Number(lines[0]!.split(" ")[1]);
    const bodyless = isHead || status === 204 || status === 304;
    const length = Number(headers.get("content-length") ?? 0);
    const body = bodyless
      ? ""
      : await this.take(
          headers.has("transfer-encoding")
            ? endOfChunks
            : (received) => (received.length >= length ? length : undefined),
        );
    return body === undefined ? undefined : answerOf(status, (name) => headers.get(name), body);
  }

  /** What was received up to where `end` says, which is undefined while that hasn't come; undefined when the connection ends before. */
  private async take(end: (received: string) => number | undefined): Promise<string | undefined> {
    for (;;) {
      const bytes = end(this.received);
      if (bytes !== undefined) {
        const taken = this.received.slice(0, bytes);
        this.received = this.received.slice(bytes);
        return taken;
      }
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

function endAfter(text: string, what: string, from: number): number | undefined {
  const at = text.indexOf(what, from);
  return at < 0 ? undefined : at + what.length;
}

/** Where a body in chunks ends; there are no trailers. */
function endOfChunks(received: string): number | undefined {
  for (let at = 0; ; ) {
    const data = endAfter(received, "\r\n", at);
    if (data === undefined) return undefined;
    const size = parseInt(received.slice(at, data), 16);
    at = data + size + 2;
    if (received.length < at) return undefined;
    if (size === 0) return at;
  }
}

async function sendHttp2(port: number, requests: readonly Indexed[], put: Put): Promise<void> {
  let next = 0;
  let session = openSession(port);
  await Promise.all(
    Array.from({ length: http2Streams }, async () => {
      while (next < requests.length) {
        const { request, index } = requests[next++]!;
        if (session.closed || session.destroyed) session = openSession(port);
        let answer = mayEndSession(request) ? undefined : await sendStream(session, request);
        // Another stream's fault may have ended the session: this request has a session of its own then.
        if (answer === undefined) {
          const own = openSession(port);
          answer = (await sendStream(own, request)) ?? { status: 0 };
          own.destroy();
        }
        put(index, answer);
      }
    }),
  );
  session.destroy();
}

function openSession(port: number): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => session.destroy());
  // Envoy would close it a second later, and answers nothing on it meanwhile.
  session.on("goaway", (code) => (code === 0 ? session.close() : session.destroy()));
  return session;
}

/** Envoy may answer a malformed request by ending the whole connection. A guess: those that it misses are sent again. */
function mayEndSession({ method, target, hosts }: WireRequest): boolean {
  return (
    method === "CONNECT" ||
    !/^\/[\x21-\x7e]*$/.test(target) ||
    hosts.length !== 1 ||
    !/^[A-Za-z0-9._:-]+$/.test(hosts[0]!)
  );
}

/** undefined: the stream ended without an answer. */
function sendStream(
  session: ClientHttp2Session,
  { method, target, hosts, headers }: WireRequest,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const named = Object.fromEntries([...(hosts.length > 1 ? [["host", hosts[1]!]] : []), ...headers]) as Record<
      string,
      string
    >;
    let stream;
    try {
      // Node would write `CONNECT` without `:path`, and refuse it with one.
      stream = session.request(
        {
          ":method": method,
          ":path": target,
          ...(hosts.length === 0 ? {} : { ":authority": hosts[0]! }),
          ":scheme": "http",
          ...named,
        },
        { endStream: true },
      );
    } catch {
      return resolve(undefined);
    }
    let answer: ((body: string) => Answer) | undefined;
    let body = "";
    stream.setEncoding("latin1");
    stream.setTimeout(answerTimeoutMs, () => stream.destroy());
    stream.on(
      "response",
      (received) =>
        (answer = (text) =>
          answerOf(Number(received[":status"]), (name) => received[name] as string | undefined, text)),
    );
    stream.on("data", (chunk: string) => (body += chunk));
    stream.on("error", () => {});
    stream.on("close", () => resolve(answer?.(body)));
  });
}

function answerOf(status: number, header: (name: string) => string | undefined, body: string): Answer {
  const reached = header(upstreamHeader);
  const policy = header("ratelimit-policy");
  const reason =
    header("content-type") === "application/problem+json"
      ? (/"reason":"([a-z_]+)"/.exec(body)?.[1] ?? "problem")
      : undefined;
  return {
    status,
    ...(reached === undefined ? {} : { reached }),
    ...(policy === undefined ? {} : { policy }),
    ...(reason === undefined ? {} : { reason }),
  };
}
