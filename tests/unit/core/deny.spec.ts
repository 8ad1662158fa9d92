import { beginCallback } from "../../../assembly/abi/memory";
import { codeOf, deny } from "../../../assembly/request/deny";
import {
  API_NOT_ALLOWED,
  KEY_MISSING,
  UNKNOWN_KEY,
  METHOD_NOT_ALLOWED,
  NOT_READY,
  PATH_INVALID,
  REASONS,
  SNAPSHOT_STALE,
  UNKNOWN_API,
  reasonCode,
  reasonGrpcStatus,
  reasonStatus,
  reasonTitle,
} from "../../../assembly/wire/reasons";
import { apiCors } from "../../../assembly/wire/records";
import { IdIndex } from "../../../assembly/snapshot/recordIndex";
import { contentType, origin } from "../../../assembly/http/headerScan";
import { methodBit } from "../../../assembly/http/methods";
import { METHOD_REFUSED, Router } from "../../../assembly/snapshot/router";
import { at, rawBytes } from "../helpers";
import { startHost, takeCalls } from "./host";
import { ApiSpec, CorsSpec, textAt } from "./wire";

const CORS = new ApiSpec(1);
const grpc = rawBytes("application/grpc");

function begin(): void {
  startHost();
  beginCallback();
  contentType.set(0, 0);
  origin.set(0, 0);
}

/** The lines of an answer: status, code and gRPC status, the headers, the body. */
function answer(reason: u32, bearer: bool = false): string {
  beginCallback();
  deny(reason, bearer, 0, null);
  return takeCalls();
}

function grpcAnswer(type: string): bool {
  const bytes = rawBytes(type);
  contentType.set(at(bytes), bytes.length);
  return !answer(UNKNOWN_API).includes("problem+json");
}

describe("a refusal", () => {
  beforeEach(begin);

  it("is a problem, with the reason in Envoy's details", () => {
    expect(answer(UNKNOWN_API)).toBe(
      "answer 404 tollgate_unknown_api 12\ncontent-type: application/problem+json\ncache-control: no-store\n" +
        '{"type":"https://tollgate.dev/reasons/unknown_api","title":"Unknown API","status":404,"reason":"unknown_api"}',
    );
  });

  it("of every reason has what its table says, and the headers of its status", () => {
    for (let reason: u32 = 0; reason < REASONS; reason++) {
      const code = reasonCode(reason);
      const status = reasonStatus(reason);
      const text = answer(reason);
      expect(code.length).toBeGreaterThan(0);
      expect(textAt(at(codeOf(reason)), codeOf(reason).length)).toBe(code);
      expect(text.startsWith(`answer ${status} tollgate_${code} ${reasonGrpcStatus(reason)}\n`)).toBeTruthy(code);
      expect(
        text.endsWith(
          `{"type":"https://tollgate.dev/reasons/${code}","title":"${reasonTitle(reason)}","status":${status},"reason":"${code}"}`,
        ),
      ).toBeTruthy(code);
      expect(text.includes("\nwww-authenticate: ")).toBe(status == 401, code);
      expect(text.includes("\nretry-after: ")).toBe(status == 503, code);
      expect(status == 401 ? reasonGrpcStatus(reason) == 16 : true).toBeTruthy(code);
      expect(status == 403 ? reasonGrpcStatus(reason) == 7 : true).toBeTruthy(code);
      expect(status == 503 ? reasonGrpcStatus(reason) == 14 : true).toBeTruthy(code);
    }
    expect(reasonCode(REASONS)).toBe("");
  });

  it("of who one is challenges for a key, and for a token where tokens are taken", () => {
    expect(answer(KEY_MISSING).includes('\nwww-authenticate: ApiKey realm="tollgate"\n')).toBeTruthy();
    expect(answer(KEY_MISSING).includes("Bearer")).toBeFalsy();
    expect(
      answer(KEY_MISSING, true).includes(
        '\nwww-authenticate: ApiKey realm="tollgate"\nwww-authenticate: Bearer realm="tollgate"\n',
      ),
    ).toBeTruthy();
    expect(
      answer(UNKNOWN_KEY, true).includes('\nwww-authenticate: Bearer realm="tollgate", error="invalid_token"\n'),
    ).toBeTruthy();
    expect(answer(API_NOT_ALLOWED, true).includes("www-authenticate")).toBeFalsy();
  });

  it("that will be over soon says when to come back", () => {
    expect(answer(NOT_READY).includes("\nretry-after: 1\n")).toBeTruthy();
    expect(answer(SNAPSHOT_STALE).includes("\nretry-after: 5\n")).toBeTruthy();
  });

  it("of a method names those that are allowed", () => {
    const index = new IdIndex();
    index.reserve(4);
    while (!index.clear()) {}
    const api = new ApiSpec(1);
    api.methods = ["GET", "POST"];
    index.put(api.body().start);
    const router = new Router();
    router.build(index);
    const host = rawBytes("a");
    const path = rawBytes("/");
    const method = rawBytes("PUT");
    expect(router.match(at(host), 1, at(path), 1, methodBit(at(method), 3), at(method), 3)).toBe(METHOD_REFUSED);
    deny(METHOD_NOT_ALLOWED, false, 0, router);
    expect(takeCalls().includes("\nallow: GET, HEAD, POST\n")).toBeTruthy();
    expect(answer(METHOD_NOT_ALLOWED).includes("allow:")).toBeFalsy("no router");
  });

  it("has the API's CORS headers", () => {
    CORS.cors = new CorsSpec(["https://*.example.com"]);
    const from = rawBytes("https://a.example.com");
    origin.set(at(from), from.length);
    deny(KEY_MISSING, true, apiCors(CORS.body().start), null);
    expect(takeCalls().includes("\naccess-control-allow-origin: https://a.example.com\nvary: origin\n")).toBeTruthy();
  });

  it("of a gRPC call has a short message and no problem", () => {
    contentType.set(at(grpc), grpc.length);
    expect(answer(KEY_MISSING)).toBe(
      'answer 401 tollgate_key_missing 16\nwww-authenticate: ApiKey realm="tollgate"\nkey_missing: API key required',
    );
  });

  it("is for gRPC when Envoy takes the request for it", () => {
    expect(grpcAnswer("application/grpc")).toBeTruthy();
    expect(grpcAnswer("application/grpc+proto")).toBeTruthy();
    const others: StaticArray<string> = [
      "application/grpc-web",
      "application/grpcx",
      "application/grp",
      "application/json",
      "xapplication/grpc",
      "",
    ];
    for (let i = 0; i < others.length; i++) expect(grpcAnswer(others[i])).toBeFalsy(others[i]);
  });

  it("goes out without headers when there is no room for them", () => {
    contentType.set(0, 0);
    const huge = memory.data(0x300000);
    origin.set(huge, 0x300000);
    CORS.cors = new CorsSpec(["*"]);
    deny(PATH_INVALID, false, apiCors(CORS.body().start), null);
    expect(takeCalls().startsWith("answer 400 tollgate_path_invalid 3\n{")).toBeTruthy();
  });
});
