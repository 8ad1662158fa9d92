/** An issuer of tokens: its keys, published by HTTP or given as they are, and tokens that it signs. */
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from "jose";
import { startHttpServer } from "../../kit/http.ts";

export class Issuer {
  private constructor(
    readonly issuer: string,
    /** the JSON Web Key Set */
    readonly jwks: string,
    private readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"],
  ) {}

  static async make(issuer: string): Promise<Issuer> {
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const jwk = { ...(await exportJWK(publicKey)), kid: "one", alg: "ES256", use: "sig" };
    return new Issuer(issuer, JSON.stringify({ keys: [jwk] }), privateKey);
  }

  /** A token of this issuer, good for a minute unless told. */
  sign(payload: JWTPayload): Promise<string> {
    const nowSeconds = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: this.issuer, iat: nowSeconds, exp: nowSeconds + 60, ...payload })
      .setProtectedHeader({ alg: "ES256", kid: "one" })
      .sign(this.privateKey);
  }
}

/** Serves an issuer's keys; `uri` is where. */
export async function publishKeys(issuer: Issuer): Promise<{ uri: string; close: () => Promise<void> }> {
  const { url, close } = await startHttpServer((_, response) =>
    response.writeHead(200, { "content-type": "application/json" }).end(issuer.jwks),
  );
  return { uri: `${url}/keys`, close };
}
