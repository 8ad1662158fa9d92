/** tar archives (POSIX ustar) whose bytes follow from names and contents alone: no times, no owners, one mode. */

export interface TarFile {
  /** ASCII, at most 100 characters */
  name: string;
  bytes: Uint8Array;
}

const blockBytes = 512;
/** GNU tar's record; readers that go by records expect whole ones. */
const recordBytes = 20 * blockBytes;

/** The archive of these files, in their order. */
export function tar(files: readonly TarFile[]): Buffer {
  const parts = files.flatMap(({ name, bytes }) => [
    header(name, bytes.length),
    bytes,
    padding(bytes.length, blockBytes),
  ]);
  const bytes = parts.reduce((sum, part) => sum + part.length, 0) + 2 * blockBytes;
  return Buffer.concat([...parts, Buffer.alloc(2 * blockBytes), padding(bytes, recordBytes)]);
}

function header(name: string, bytes: number): Buffer {
  if (!/^[\x21-\x7e]{1,100}$/.test(name)) throw new RangeError(`\`${name}\` is no name for an archive.`);
  const block = Buffer.alloc(blockBytes);
  block.write(name, 0, "latin1");
  block.write(octal(0o644, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(bytes, 11), 124);
  block.write(octal(0, 11), 136);
  block.write(" ".repeat(8), 148);
  block.write("0", 156);
  block.write("ustar\0" + "00", 257, "latin1");
  block.write(octal(0, 7), 329);
  block.write(octal(0, 7), 337);
  // The checksum counts its own field as blanks; it ends with NUL and a blank.
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
    "latin1",
  );
  return block;
}

function octal(value: number, digits: number): string {
  const text = value.toString(8);
  if (text.length > digits) throw new RangeError(`${value} is too large for an archive.`);
  return text.padStart(digits, "0");
}

function padding(bytes: number, unit: number): Buffer {
  return Buffer.alloc((unit - (bytes % unit)) % unit);
}
