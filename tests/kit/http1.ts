/**
 * An HTTP/1.1 client that sends exactly the bytes it is told to: header names in any case, repeated, in any order, trailers after
 * a chunked body, paths that no URL parser would let through.
 */
import { connect, type Socket } from "node:net";

export type Pair = [name: string, value: string];

export interface Http1Request {
  method?: string;
  path?: string;
  /** `Host` is added unless given here */
  headers?: Pair[];
  body?: string;
  /** makes the body chunked */
  trailers?: Pair[];
}

export class Response {
  constructor(
    readonly status: number,
    /** names in lower case, as they came */
    readonly headers: Pair[],
    readonly body: string,
  ) {}

  /** The values of a header joined by a comma; undefined when it is absent. */
  header(name: string): string | undefined {
    const values = this.headers.filter(([given]) => given === name).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(", ");
  }

  json<T = Record<string, unknown>>(): T {
    return JSON.parse(this.body) as T;
  }
}

const defaultHost = "api.example.com";
const answerTimeoutMs = 60_000;

/** One keep-alive connection; one request at a time. */
export class Connection {
  private received = Buffer.alloc(0);
  private failure: Error | undefined;
  private wake: () => void = () => {};

  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.wake();
    });
    const fail = (error: Error): void => {
      this.failure ??= error;
      this.wake();
    };
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the connection was closed")));
  }

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.setNoDelay(true);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Connection(socket));
      });
    });
  }

  async send(request: Http1Request): Promise<Response> {
    this.socket.write(requestBytes(request));
    return this.readResponse(request.method ?? "GET");
  }

  /** Sends a request so many times at once; the answers come one after the other. */
  async pipeline(request: Http1Request, count: number, answered: (response: Response) => void): Promise<void> {
    const bytes = requestBytes(request);
    this.socket.write(count === 1 ? bytes : Buffer.concat(Array<Buffer>(count).fill(bytes)));
    for (let i = 0; i < count; i++) answered(await this.readResponse(request.method ?? "GET"));
  }

  /** Opens a WebSocket's tunnel; afterwards `write` and `readBytes` carry what is in it. Gives the answer when it is no 101. */
  async upgrade(path: string, headers: Pair[] = []): Promise<Response> {
    const upgrade: Pair[] = [
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ];
    return this.send({ path, headers: [...upgrade, ...headers] });
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  async readBytes(count: number): Promise<Buffer> {
    while (this.received.length < count) await this.more();
    return this.take(count);
  }

  close(): void {
    this.socket.destroy();
  }

  private async readResponse(method: string): Promise<Response> {
    let end: number;
    while ((end = this.received.indexOf("\r\n\r\n")) < 0) await this.more();
    const [statusLine = "", ...lines] = this.take(end + 4)
      .toString("latin1")
      .trimEnd()
      .split("\r\n");
    const status = Number(statusLine.split(" ")[1]);
    const headers = lines.map(splitHeader);
    const bodyless = method === "HEAD" || status === 204 || status === 304 || status < 200;
    if (bodyless) return new Response(status, headers, "");
    if (headers.some(([name, value]) => name === "transfer-encoding" && value === "chunked"))
      return new Response(status, headers, await this.readChunks());
    const length = Number(headers.find(([name]) => name === "content-length")?.[1] ?? 0);
    return new Response(status, headers, (await this.readBytes(length)).toString());
  }

  private async readChunks(): Promise<string> {
    const parts: Buffer[] = [];
    for (;;) {
      const size = parseInt(await this.readLine(), 16);
      if (size === 0) break;
      parts.push(await this.readBytes(size));
      await this.readLine();
    }
    while ((await this.readLine()) !== "") continue;
    return Buffer.concat(parts).toString();
  }

  private async readLine(): Promise<string> {
    let end: number;
    while ((end = this.received.indexOf("\r\n")) < 0) await this.more();
    return this.take(end + 2)
      .toString("latin1")
      .slice(0, -2);
  }

  private take(count: number): Buffer {
    const taken = this.received.subarray(0, count);
    this.received = this.received.subarray(count);
    return taken;
  }

  private more(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.failure) return reject(this.failure);
      const timer = setTimeout(() => {
        this.failure = new Error(`no answer within ${answerTimeoutMs} ms`);
        this.wake();
      }, answerTimeoutMs);
      const had = this.received.length;
      this.wake = () => {
        clearTimeout(timer);
        this.wake = () => {};
        if (this.received.length > had) resolve();
        else reject(this.failure ?? new Error("woken without bytes"));
      };
    });
  }
}

/** One request on a connection of its own. */
export async function send(port: number, request: Http1Request = {}): Promise<Response> {
  const connection = await Connection.open(port);
  try {
    return await connection.send(request);
  } finally {
    connection.close();
  }
}

function requestBytes({ method = "GET", path = "/", headers = [], body, trailers }: Http1Request): Buffer {
  const all: Pair[] = headers.some(([name]) => name.toLowerCase() === "host")
    ? [...headers]
    : [["Host", defaultHost], ...headers];
  let content = "";
  if (trailers) {
    all.push(["Transfer-Encoding", "chunked"]);
    const text = body ?? "";
    const chunk = text === "" ? "" : `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
    content = `${chunk}0\r\n${lines(trailers)}\r\n`;
  } else if (body !== undefined) {
    all.push(["Content-Length", String(Buffer.byteLength(body))]);
    content = body;
  }
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines(all)}\r\n${content}`, "latin1");
}

function lines(pairs: Pair[]): string {
  return pairs.map(([name, value]) => `${name}: ${value}\r\n`).join("");
}

function splitHeader(line: string): Pair {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
