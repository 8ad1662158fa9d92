/** An issuer of tokens: what it signs, the keys that verify it, and Istio's object that has Envoy do so. */
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from "jose";
import { gatewayNamespace, installedGateway } from "./gateway.ts";

type PrivateKey = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];

export class Issuer {
  private constructor(
    readonly url: string,
    readonly jwks: string,
    private readonly key: PrivateKey,
  ) {}

  static async make(url: string): Promise<Issuer> {
    const { publicKey, privateKey } = await generateKeyPair("RS256");
    const jwk = { ...(await exportJWK(publicKey)), kid: url, alg: "RS256", use: "sig" };
    return new Issuer(url, JSON.stringify({ keys: [jwk] }), privateKey);
  }

  /** Valid for five minutes, unless the claims say otherwise. */
  sign(claims: JWTPayload): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: this.url, iat: now, exp: now + 300, ...claims })
      .setProtectedHeader({ alg: "RS256", kid: this.url })
      .sign(this.key);
  }
}

/** Tokens of these issuers are verified at the gateway, and passed on. */
export function requestAuthentication(...issuers: Issuer[]): object {
  return {
    apiVersion: "security.istio.io/v1",
    kind: "RequestAuthentication",
    metadata: { name: "tokens", namespace: gatewayNamespace },
    spec: {
      selector: { matchLabels: installedGateway.labels },
      jwtRules: issuers.map(({ url, jwks }) => ({ issuer: url, jwks, forwardOriginalToken: true })),
    },
  };
}
