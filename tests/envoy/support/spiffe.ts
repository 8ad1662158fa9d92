/** Certificates as a mesh's authority gives them out, made with Node alone (X.509 in DER, RFC 5280). */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";

const tlv = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const size =
    body.length < 128
      ? [body.length]
      : body.length < 256
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
};
const sequence = (...parts: Uint8Array[]): Buffer => tlv(0x30, ...parts);
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, "hex"));
const time = (year: number): Buffer => tlv(0x18, Buffer.from(`${year}0101000000Z`));
const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [tlv(0x01, Buffer.from([0xff]))] : []), tlv(0x04, value));
const named = (name: string): Buffer => sequence(tlv(0x31, sequence(oid("550403"), tlv(0x0c, Buffer.from(name)))));
const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
const trueValue = tlv(0x01, Buffer.from([0xff]));

export interface Certificate {
  /** PEM */
  cert: string;
  key: string;
}

/** An authority that workloads trust. */
export class Authority {
  readonly cert: string;
  readonly #name: Buffer;
  readonly #key: KeyObject;

  constructor(name: string) {
    this.#name = named(name);
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    const keyUsage = tlv(0x03, Buffer.from([1, 0x06]));
    this.cert = this.#issue(publicKey, this.#name, [
      extension("551d13", true, sequence(trueValue)),
      extension("551d0f", true, keyUsage),
    ]);
  }

  /** A certificate with these URIs, and 127.0.0.1 so that it does for a server too. */
  issue(...uris: string[]): Certificate {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = sequence(...uris.map((uri) => tlv(0x86, Buffer.from(uri))), tlv(0x87, Buffer.from([127, 0, 0, 1])));
    const cert = this.#issue(publicKey, named(`workload-${randomBytes(4).toString("hex")}`), [
      extension("551d11", false, names),
    ]);
    return { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
  }

  #issue(publicKey: KeyObject, subject: Buffer, extensions: Buffer[]): string {
    const body = sequence(
      tlv(0xa0, tlv(0x02, Buffer.from([2]))),
      tlv(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
      ecdsaWithSha256,
      this.#name,
      sequence(time(2020), time(2090)),
      subject,
      publicKey.export({ type: "spki", format: "der" }),
      tlv(0xa3, sequence(...extensions)),
    );
    const der = sequence(body, ecdsaWithSha256, tlv(0x03, Buffer.from([0]), sign("sha256", body, this.#key)));
    return `-----BEGIN CERTIFICATE-----\n${der
      .toString("base64")
      .match(/.{1,64}/g)!
      .join("\n")}\n-----END CERTIFICATE-----\n`;
  }
}
