import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { startDemoUpstream, type EchoedRequest } from "../../devstack/demoUpstream.ts";

async function upstream(t: TestContext): Promise<number> {
  const running = await startDemoUpstream(0);
  t.after(() => running.close());
  return running.port;
}

/** The frame that a client sends: masked (RFC 6455, 5.3). */
function clientFrame(first: number, payload: Buffer): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = Buffer.from(payload.map((byte, index) => byte ^ mask[index & 3]!));
  const length =
    payload.length < 126
      ? Buffer.from([0x80 | payload.length])
      : payload.length < 65536
        ? Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 0xff])
        : Buffer.from([
            0x80 | 127,
            0,
            0,
            0,
            0,
            payload.length >>> 24,
            (payload.length >> 16) & 0xff,
            (payload.length >> 8) & 0xff,
            payload.length & 0xff,
          ]);
  return Buffer.concat([Buffer.from([first]), length, mask, masked]);
}

async function connect(port: number): Promise<{ socket: Socket; received: (bytes: number) => Promise<Buffer> }> {
  const upgrade = request({
    port,
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
  }).end();
  const [response, socket] = (await once(upgrade, "upgrade")) as [IncomingMessage, Socket];
  assert.equal(response.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // the RFC's own example
  let bytes = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => (bytes = Buffer.concat([bytes, chunk])));
  const received = async (wanted: number): Promise<Buffer> => {
    while (bytes.length < wanted) await once(socket, "data");
    const result = bytes.subarray(0, wanted);
    bytes = bytes.subarray(wanted);
    return result;
  };
  return { socket, received };
}

test("it answers with the request as it came: repeated headers, body and trailers", async (t) => {
  const port = await upstream(t);
  const sent = request({
    port,
    method: "PUT",
    path: "/a//b?c=%20",
    headers: { "X-One": "1", "x-two": ["a", "b", "c"], trailer: "x-last", "transfer-encoding": "chunked" },
  });
  sent.write("hel");
  sent.addTrailers([
    ["x-last", "y"],
    ["x-last", "z"],
  ]);
  sent.end("lo");
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  const echoed = JSON.parse((await response.toArray()).join("")) as EchoedRequest;
  assert.equal(echoed.method, "PUT");
  assert.equal(echoed.path, "/a//b?c=%20");
  assert.equal(echoed.headers["x-one"], "1");
  assert.deepEqual(echoed.headers["x-two"], ["a", "b", "c"]);
  assert.equal(echoed.body, "hello");
  assert.deepEqual(echoed.trailers, { "x-last": ["y", "z"] });
});

test("a header named as a member of every object is a header", async (t) => {
  const port = await upstream(t);
  const sent = request({ port, headers: { constructor: "c", ["__proto__"]: "p" } }).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const { headers, trailers } = JSON.parse((await response.toArray()).join("")) as EchoedRequest;
  assert.equal(headers["constructor"], "c");
  assert.equal(Object.getOwnPropertyDescriptor(headers, "__proto__")?.value, "p");
  assert.equal(trailers, undefined);
});

test("WebSocket messages come back, of every length and in fragments; ping gets pong, close gets close", async (t) => {
  const { socket, received } = await connect(await upstream(t));
  socket.write(clientFrame(0x81, Buffer.from("hi")));
  assert.deepEqual(await received(4), Buffer.from("\x81\x02hi", "latin1"));

  const middle = Buffer.alloc(300, 7);
  socket.write(clientFrame(0x82, middle));
  assert.deepEqual(await received(304), Buffer.concat([Buffer.from([0x82, 126, 1, 44]), middle]));

  const large = Buffer.alloc(70_000, 9);
  socket.write(clientFrame(0x82, large));
  assert.deepEqual(
    await received(70_010),
    Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]), large]),
  );

  socket.write(
    Buffer.concat([
      clientFrame(0x01, Buffer.from("a")),
      clientFrame(0x89, Buffer.from("p")),
      clientFrame(0x80, Buffer.from("b")),
    ]),
  );
  assert.deepEqual(await received(9), Buffer.from("\x01\x01a\x8a\x01p\x80\x01b", "latin1"));

  socket.write(clientFrame(0x88, Buffer.from([3, 232])));
  assert.deepEqual(await received(4), Buffer.from([0x88, 2, 3, 232]));
  await once(socket, "end");
});

test("an unmasked frame ends a WebSocket with 1002, a broken handshake with 400", async (t) => {
  const port = await upstream(t);
  const { socket, received } = await connect(port);
  socket.write(Buffer.from([0x81, 1, 65]));
  assert.deepEqual(await received(4), Buffer.from([0x88, 2, 0x03, 0xea]));

  const broken = request({ port, headers: { connection: "Upgrade", upgrade: "websocket" } }).end();
  const [response] = (await once(broken, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 400);
});
