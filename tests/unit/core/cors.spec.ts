import { beginCallback } from "../../../assembly/abi/memory";
import { corsPairs, isPreflight, preflightAllowed } from "../../../assembly/http/cors";
import { beginPairs, endPairs, pairsAt, pairsBytes } from "../../../assembly/lib/pairs";
import { Slice, askedMethod, method, origin } from "../../../assembly/http/headerScan";
import { apiCors } from "../../../assembly/wire/records";
import { at, rawBytes } from "../helpers";
import { pairsOf } from "./host";
import { ApiSpec, CorsSpec } from "./wire";

/** Kept alive, because the request's slices only point to it. */
const kept: StaticArray<u8>[] = [];

function put(slice: Slice, text: string): void {
  const bytes = rawBytes(text);
  kept.push(bytes);
  slice.set(at(bytes), bytes.length);
}

function rules(cors: CorsSpec): usize {
  const api = new ApiSpec(1);
  api.cors = cors;
  return apiCors(api.body().start);
}

/** Whether a preflight from the origin passes a rule. */
function allows(rule: string, from: string): bool {
  put(origin, from);
  put(askedMethod, "GET");
  return preflightAllowed(rules(new CorsSpec([rule])));
}

function sent(cors: usize, expected: string[]): void {
  beginCallback();
  beginPairs();
  corsPairs(cors);
  expect(endPairs()).toBeTruthy();
  const bytes = pairsOf(expected);
  expect(pairsBytes).toBe(bytes.length);
  expect(memory.compare(pairsAt, at(bytes), bytes.length)).toBe(0);
}

describe("a preflight", () => {
  it("is OPTIONS with an origin and the method that is asked for", () => {
    put(method, "OPTIONS");
    put(origin, "https://a.example.com");
    put(askedMethod, "PUT");
    expect(isPreflight()).toBeTruthy();
    put(askedMethod, "");
    expect(isPreflight()).toBeFalsy();
    put(askedMethod, "PUT");
    put(origin, "");
    expect(isPreflight()).toBeFalsy();
    put(origin, "null");
    const others: StaticArray<string> = ["GET", "options", "OPTION", "OPTIONSS", "OPTIONs", ""];
    for (let i = 0; i < others.length; i++) {
      put(method, others[i]);
      expect(isPreflight()).toBeFalsy(others[i]);
    }
  });

  it("passes for the methods that are allowed", () => {
    const cors = new CorsSpec(["*"]);
    put(origin, "https://a.example.com");
    put(askedMethod, "DELETE");
    expect(preflightAllowed(rules(cors))).toBeTruthy("none named: any");
    cors.methods = ["GET", "REPORT"];
    expect(preflightAllowed(rules(cors))).toBeFalsy();
    const allowed: StaticArray<string> = ["GET", "HEAD", "REPORT"];
    for (let i = 0; i < allowed.length; i++) {
      put(askedMethod, allowed[i]);
      expect(preflightAllowed(rules(cors))).toBeTruthy(allowed[i]);
    }
    const refused: StaticArray<string> = ["get", "POST", "REPORTS", "*"];
    for (let i = 0; i < refused.length; i++) {
      put(askedMethod, refused[i]);
      expect(preflightAllowed(rules(cors))).toBeFalsy(refused[i]);
    }
  });

  it("passes by any of several rules", () => {
    const cors = rules(new CorsSpec(["https://a.example.com", "https://*.example.org"]));
    put(askedMethod, "GET");
    put(origin, "https://a.example.com");
    expect(preflightAllowed(cors)).toBeTruthy();
    put(origin, "https://b.example.org");
    expect(preflightAllowed(cors)).toBeTruthy();
    put(origin, "https://b.example.com");
    expect(preflightAllowed(cors)).toBeFalsy();
    expect(preflightAllowed(rules(new CorsSpec([])))).toBeFalsy();
  });
});

describe("an origin rule", () => {
  it("* takes any origin, and no request without one", () => {
    expect(allows("*", "https://a.example.com")).toBeTruthy();
    expect(allows("*", "null")).toBeTruthy();
    expect(allows("*", "")).toBeFalsy();
  });

  it("takes the very origin", () => {
    expect(allows("https://a.example.com", "https://a.example.com")).toBeTruthy();
    const others: StaticArray<string> = [
      "http://a.example.com",
      "https://a.example.com:8443",
      "https://a.example.com.evil.org",
      "https://a.example.co",
      "https://a.example.com/",
      "https://A.example.com",
      "null",
      "https://xa.example.com",
      "a.example.com",
    ];
    for (let i = 0; i < others.length; i++) expect(allows("https://a.example.com", others[i])).toBeFalsy(others[i]);
  });

  it("with a wildcard takes hosts below the suffix", () => {
    const below: StaticArray<string> = [
      "https://a.example.com",
      "https://a.b.example.com",
      "https://xn--bcher-kva.example.com",
      "https://a_b-1.example.com",
    ];
    for (let i = 0; i < below.length; i++) expect(allows("https://*.example.com", below[i])).toBeTruthy(below[i]);
  });

  it("with a wildcard takes nothing that only looks like it", () => {
    const tricks: StaticArray<string> = [
      "https://example.com",
      "https://.example.com",
      "http://a.example.com",
      "https://a.example.com:443",
      "https://a.example.com.evil.org",
      "https://aexample.com",
      "https://evil.com/.example.com",
      "https://evil.com?.example.com",
      "https://evil.com#.example.com",
      "https://evil.com\\.example.com",
      "https://evil.com:.example.com",
      "https://user@evil.com/.example.com",
      "https://a@b.example.com",
      "https://evil.com%2f.example.com",
      "https://evil.com .example.com",
      "https://evil.com\0.example.com",
      "https://evil.com\t.example.com",
      "https://evil.com,https://a.example.com",
      "https://evil.com;.example.com",
      "https://*.example.com",
      "https://\xff.example.com",
      "null",
    ];
    for (let i = 0; i < tricks.length; i++) expect(allows("https://*.example.com", tricks[i])).toBeFalsy(tricks[i]);
  });

  it("with a wildcard and a port takes that port alone", () => {
    expect(allows("https://*.example.com:8443", "https://a.example.com:8443")).toBeTruthy();
    expect(allows("https://*.example.com:8443", "https://a.example.com")).toBeFalsy();
    expect(allows("https://*.example.com:8443", "https://a.example.com:84430")).toBeFalsy();
  });
});

describe("a refusal's CORS headers", () => {
  it("let the browser show it to an allowed origin", () => {
    put(origin, "https://a.example.com");
    sent(rules(new CorsSpec(["https://*.example.com"])), [
      "access-control-allow-origin",
      "https://a.example.com",
      "vary",
      "origin",
    ]);
  });

  it("have credentials and exposed headers where the rules do", () => {
    const cors = new CorsSpec(["https://a.example.com"]);
    cors.credentials = true;
    cors.expose = ["x-request-id", "ratelimit"];
    put(origin, "https://a.example.com");
    sent(rules(cors), [
      "access-control-allow-origin",
      "https://a.example.com",
      "vary",
      "origin",
      "access-control-allow-credentials",
      "true",
      "access-control-expose-headers",
      "x-request-id,ratelimit",
    ]);
  });

  it("are none for other origins, for no origin and for APIs without rules", () => {
    const cors = rules(new CorsSpec(["https://a.example.com"]));
    put(origin, "https://b.example.com");
    sent(cors, []);
    put(origin, "");
    sent(cors, []);
    put(origin, "https://a.example.com");
    sent(0, []);
  });

  it("expose as many headers as fit into 1 KiB, whole ones", () => {
    const cors = new CorsSpec(["*"]);
    for (let i = 0; i < 20; i++) cors.expose.push("x".repeat(99));
    put(origin, "null");
    const list: string[] = [];
    for (let i = 0; i < 10; i++) list.push("x".repeat(99));
    sent(rules(cors), [
      "access-control-allow-origin",
      "null",
      "vary",
      "origin",
      "access-control-expose-headers",
      list.join(","),
    ]);
  });
});
