/** A format that the user gave can't be read back, and why. */
export class FormatError extends Error {
  override name = "FormatError";
}
