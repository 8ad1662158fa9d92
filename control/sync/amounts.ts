/** Writes a whole number from 0 to 2^53 - 1 as a u64. */
export function writeAmount(frame: Buffer, at: number, value: number): void {
  frame.writeUInt32LE(value % 0x1_0000_0000, at);
  frame.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}
