/** Bytes of a log to lines, whatever its size: a chunk at a time, gzip unpacked. */
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";

const chunkBytes = 1 << 20;
/** A line that is longer is none of an access log. */
export const lineBytesMax = 1 << 20;

/** Why a log can't be read. */
export class LogError extends Error {
  override name = "LogError";
}

export interface LineBatch {
  lines: string[];
  /** lines dropped because of their length, before the first of this batch or between them */
  overlong: number;
}

/** Gives the lines of a log in batches, without line ends; empty lines are kept, so that they can be counted. */
export async function* readLines(source: AsyncIterable<Buffer>): AsyncGenerator<LineBatch> {
  let rest: Buffer | undefined;
  let skipping = false;
  for await (const arrived of unpacked(source)) {
    let chunk = rest === undefined ? arrived : Buffer.concat([rest, arrived]);
    let overlong = 0;
    if (skipping) {
      const end = chunk.indexOf(10);
      if (end < 0) continue;
      chunk = chunk.subarray(end + 1);
      skipping = false;
    }
    const end = chunk.lastIndexOf(10);
    rest = end + 1 < chunk.length ? chunk.subarray(end + 1) : undefined;
    if (rest !== undefined && rest.length > lineBytesMax) {
      overlong++;
      rest = undefined;
      skipping = true;
    }
    if (end >= 0) yield { lines: split(chunk.toString("utf8", 0, end)), overlong };
    else if (overlong > 0) yield { lines: [], overlong };
  }
  if (rest !== undefined) yield { lines: split(rest.toString("utf8")), overlong: 0 };
}

function split(text: string): string[] {
  const lines = text.split("\n");
  if (text.includes("\r"))
    for (let index = 0; index < lines.length; index++)
      if (lines[index]!.endsWith("\r")) lines[index] = lines[index]!.slice(0, -1);
  if (lines[0]?.charCodeAt(0) === 0xfeff) lines[0] = lines[0].slice(1);
  return lines;
}

const otherPackings: readonly [magic: string, name: string, unpack: string][] = [
  ["28b52ffd", "zstd", "zstd -dc"],
  ["fd377a58", "xz", "xz -dc"],
  ["425a68", "bzip2", "bzip2 -dc"],
  ["504b0304", "zip", "unzip -p"],
];

/** The bytes as they are, or unpacked when they begin as gzip does. */
async function* unpacked(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const chunks = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = (async function* () {
    yield head;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  })();
  const start = head.toString("hex", 0, 4);
  const other = otherPackings.find(([magic]) => start.startsWith(magic));
  if (other !== undefined)
    throw new LogError(
      `it is packed with ${other[1]}: unpack it first, such as \`${other[2]} <log> | tollgate simulate -\``,
    );
  if (start.startsWith("1f8b")) yield* gunzipped(rest);
  else yield* rest;
}

async function* gunzipped(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const packed = Readable.from(source, { objectMode: false, highWaterMark: chunkBytes });
  const gunzip = createGunzip({ chunkSize: chunkBytes });
  packed.once("error", (error) => gunzip.destroy(error));
  packed.pipe(gunzip);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // A log that is being packed, or whose copy was cut off: what has come is good.
    if (code === "Z_BUF_ERROR") throw new LogError("its gzip data end in the middle");
    throw code?.startsWith("Z_") ? new LogError(`its gzip data are broken: ${message}`) : error;
  } finally {
    packed.destroy();
  }
}
