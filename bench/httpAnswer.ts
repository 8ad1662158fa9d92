/** As much of HTTP/1.1 as the load generators need. */

export function requestBytes(path: string, headers: Record<string, string>): Buffer {
  const lines = Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${lines}\r\n`);
}

/** The whole length of the answer that begins here, or -1 when its head is not complete. Needs content-length, which Envoy sends. */
export function answerSizeBytes(bytes: Buffer): number {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return -1;
  const length = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, headEnd));
  return headEnd + 4 + Number(length?.[1] ?? 0);
}

/** Of an answer whose head is complete. */
export function answerStatus(bytes: Buffer): number {
  return Number(bytes.toString("latin1", 9, 12));
}
