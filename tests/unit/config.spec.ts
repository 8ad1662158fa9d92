import { Config, configError, parseConfig } from "../../assembly/config/parse";
import { SOURCE_BEARER, SOURCE_COOKIE, SOURCE_HEADER, SOURCE_QUERY } from "../../assembly/wire/enums";
import { at, utf8 } from "./helpers";

const STANDALONE = `"environment": "default", "snapshot": "AAEC"`;
const CONTROL = `"control": {"cluster": "c", "authority": "a"}`;

function parse(text: string): Config | null {
  const bytes = utf8(text);
  return parseConfig(at(bytes), bytes.length);
}

/** Why a configuration is refused; empty when it isn't. */
function errorOf(text: string): string {
  return parse(text) ? "" : configError();
}

/** The same for members added to a good configuration. */
function errorWith(members: string): string {
  return errorOf(`{${STANDALONE}, ${members}}`);
}

function parseWith(members: string): Config {
  const config = parse(`{${STANDALONE}, ${members}}`);
  expect(configError()).toBe("");
  return config!;
}

function text(bytes: StaticArray<u8>): string {
  return String.UTF8.decodeUnsafe(at(bytes), bytes.length);
}

describe("an empty configuration", () => {
  it("is nothing, blanks or an object without members", () => {
    const empty: StaticArray<string> = ["", " \t\r\n", "{}", " { } "];
    for (let i = 0; i < empty.length; i++) {
      const config = parse(empty[i]);
      expect(configError()).toBe("");
      expect(config!.empty).toBeTruthy(empty[i]);
    }
  });

  it("has the default claim headers and key sources, so that forged claims and keys are taken out all the same", () => {
    const config = parse("")!;
    expect(text(config.claimPrefix)).toBe("x-tollgate-");
    expect(text(config.uncheckedHeader)).toBe("x-tollgate-unchecked");
    expect(config.sources.length).toBe(2);
  });
});

describe("a configuration", () => {
  it("has defaults", () => {
    const config = parse(`{${CONTROL}, "environment": "default"}`)!;
    expect(config.empty).toBeFalsy();
    expect(config.hasControl).toBeTruthy();
    expect(text(config.environment)).toBe("default");
    expect(text(config.cluster)).toBe("c");
    expect(text(config.authority)).toBe("a");
    expect(text(config.tokenEnv)).toBe("TOLLGATE_GATEWAY_TOKEN");
    expect(config.timeoutMs).toBe(5000);
    expect(config.waitMs).toBe(25000);
    expect(config.sources.length).toBe(2);
    expect(config.sources[0].kind).toBe(SOURCE_HEADER);
    expect(text(config.sources[0].name)).toBe("x-api-key");
    expect(config.sources[1].kind).toBe(SOURCE_BEARER);
    expect(text(config.consumerHeader)).toBe("x-tollgate-consumer");
    expect(text(config.tierHeader)).toBe("x-tollgate-tier");
    expect(text(config.keyIdHeader)).toBe("x-tollgate-key-id");
    expect(text(config.scopesHeader)).toBe("x-tollgate-scopes");
    expect(config.renames.length).toBe(0);
    expect(config.ownedNames.length).toBe(0);
    expect(config.unknownApiAllow).toBeFalsy();
    expect(config.failOpen).toBeFalsy();
    expect(config.snapshotWaitTimeoutMs).toBe(2000);
    expect(config.maxSnapshotWaiters).toBe(1024);
    expect(config.maxSnapshotAgeSeconds).toBe(86400);
    expect(config.observe).toBeFalsy();
    expect(config.observeKeepsKey).toBeFalsy();
    expect(config.snapshot == null).toBeTruthy();
  });

  it("holds every field", () => {
    const config = parse(`{
      "control": {"cluster": "outbound|8091||control.svc", "authority": "control.svc:8091", "tokenEnv": "MY_TOKEN", "timeoutMs": 1000.0, "waitMs": 3e2},
      "environment": "pr-7", "keySources": [{"query": "api key"}, {"cookie": "ApiKey"}, {"header": "X-My-Key"}, {"bearer": true}, {"header": "Authorization"}],
      "unknownApi": "allow", "failureMode": "open", "snapshotWaitTimeoutMs": 0, "maxSnapshotWaiters": 1, "maxSnapshotAgeSeconds": 0, "mode": "observe",
      "observe": {"key": "keep"}
    }`)!;
    expect(configError()).toBe("");
    expect(text(config.cluster)).toBe("outbound|8091||control.svc");
    expect(text(config.authority)).toBe("control.svc:8091");
    expect(text(config.tokenEnv)).toBe("MY_TOKEN");
    expect(config.timeoutMs).toBe(1000);
    expect(config.waitMs).toBe(300);
    expect(text(config.environment)).toBe("pr-7");
    expect(config.sources.length).toBe(5);
    expect(config.sources[0].kind).toBe(SOURCE_QUERY);
    expect(text(config.sources[0].name)).toBe("api key");
    expect(config.sources[1].kind).toBe(SOURCE_COOKIE);
    expect(text(config.sources[1].name)).toBe("ApiKey");
    expect(config.sources[2].kind).toBe(SOURCE_HEADER);
    expect(text(config.sources[2].name)).toBe("x-my-key");
    expect(config.sources[3].kind).toBe(SOURCE_BEARER);
    expect(text(config.sources[4].name)).toBe("authorization");
    expect(config.unknownApiAllow).toBeTruthy();
    expect(config.failOpen).toBeTruthy();
    expect(config.snapshotWaitTimeoutMs).toBe(0);
    expect(config.maxSnapshotWaiters).toBe(1);
    expect(config.maxSnapshotAgeSeconds).toBe(0);
    expect(config.observe).toBeTruthy();
    expect(config.observeKeepsKey).toBeTruthy();
  });

  it("decodes its snapshot", () => {
    const config = parse(`{"environment": "default", "snapshot": "AAEC_w"}`)!;
    expect(config.hasControl).toBeFalsy();
    const snapshot = config.snapshot!;
    expect(snapshot.length).toBe(4);
    expect(snapshot[2]).toBe(2);
    expect(snapshot[3]).toBe(0xff);
  });

  it("forwards keys only while it observes", () => {
    expect(parseWith(`"observe": {"key": "keep"}`).observeKeepsKey).toBeFalsy();
    expect(parseWith(`"observe": {"key": "strip"}, "mode": "observe"`).observeKeepsKey).toBeFalsy();
    expect(parseWith(`"observe": {"key": "keep"}, "mode": "observe"`).observeKeepsKey).toBeTruthy();
    expect(parseWith(`"observe": {}, "mode": "enforce"`).observe).toBeFalsy();
  });
});

describe("a configuration's claims", () => {
  it("follow the prefix", () => {
    const config = parseWith(`"claims": {"prefix": "X-Caller-"}`);
    expect(text(config.claimPrefix)).toBe("x-caller-");
    expect(text(config.keyIdHeader)).toBe("x-caller-key-id");
    expect(text(config.uncheckedHeader)).toBe("x-caller-unchecked");
    expect(config.ownedNames.length).toBe(0);
  });

  it("have names of their own, also before the prefix is read", () => {
    const config = parseWith(
      `"claims": {"names": {"consumer": "X-Consumer", "tier": "X-Tollgate-Plan", "claim-org": "x-org", "claim-a": "x-caller-a"}, "prefix": "x-caller-"}`,
    );
    expect(text(config.consumerHeader)).toBe("x-consumer");
    expect(text(config.tierHeader)).toBe("x-tollgate-plan");
    expect(text(config.scopesHeader)).toBe("x-caller-scopes");
    expect(config.renames.length).toBe(2);
    expect(text(config.renames[0].claim)).toBe("org");
    expect(text(config.renames[0].header)).toBe("x-org");
    expect(text(config.renames[1].header)).toBe("x-caller-a");
    expect(config.ownedNames.length).toBe(3);
    expect(text(config.ownedNames[0])).toBe("x-consumer");
    expect(text(config.ownedNames[1])).toBe("x-tollgate-plan");
    expect(text(config.ownedNames[2])).toBe("x-org");
  });

  it("can't take another header's place", () => {
    expect(errorWith(`"claims": {"names": {"consumer": "host"}}`)).toBe(
      `claims.names.consumer: "host" belongs to the message and can't hold a claim`,
    );
    expect(errorWith(`"claims": {"names": {"consumer": "Authorization"}}`)).toBe(
      `claims.names.consumer: "authorization" belongs to the message and can't hold a claim`,
    );
    expect(errorWith(`"claims": {"names": {"tier": "content_length"}}`)).toBe(
      `claims.names.tier: "content_length" belongs to the message and can't hold a claim`,
    );
    expect(errorWith(`"claims": {"names": {"tier": ":path"}}`)).toBe(
      `claims.names.tier: ":path" is no header name (RFC 9110 token of at most 128 bytes)`,
    );
    expect(errorWith(`"claims": {"names": {"tier": "x-a", "scopes": "X_A"}}`)).toBe(
      `claims.names: two claims would go into "x_a"`,
    );
    expect(errorWith(`"claims": {"names": {"tier": "x-tollgate-consumer"}}`)).toBe(
      `claims.names: two claims would go into "x-tollgate-consumer"`,
    );
    expect(errorWith(`"claims": {"names": {"claim-a": "x-tollgate-unchecked"}}`)).toBe(
      `claims.names: two claims would go into "x-tollgate-unchecked"`,
    );
    expect(errorWith(`"claims": {"names": {"claim-a": "x-tollgate-claim-b"}}`)).toBe(
      `claims.names: "x-tollgate-claim-b" could be the header of another claim: choose one that doesn't begin with "x-tollgate-claim-"`,
    );
  });

  it("are known ones", () => {
    expect(errorWith(`"claims": {"names": {"teir": "x-a"}}`)).toBe(
      `claims.names: unknown claim "teir", did you mean "tier"? (consumers' own are "claim-<name>")`,
    );
    expect(errorWith(`"claims": {"names": {"unchecked": "x-a"}}`)).toBe(
      `claims.names: unknown claim "unchecked" (consumers' own are "claim-<name>")`,
    );
    expect(errorWith(`"claims": {"names": {"claim-": "x-a"}}`)).toBe(
      `claims.names: unknown claim "claim-" (consumers' own are "claim-<name>")`,
    );
    expect(errorWith(`"claims": {"names": {"claim-Org": "x-a"}}`)).toBe(
      `claims.names: unknown claim "claim-Org" (consumers' own are "claim-<name>")`,
    );
    expect(errorWith(`"claims": {"names": {"tier": "x-a", "tier": "x-b"}}`)).toBe("claims.names.tier: given twice");
    expect(errorWith(`"claims": {"names": {"claim-a": "x-a", "claim-a": "x-b"}}`)).toBe(
      "claims.names.claim-a: given twice",
    );
    expect(errorWith(`"claims": {"names": []}`)).toBe("claims.names: an object of claim names and headers is required");
  });

  it("have a prefix that takes nothing else along", () => {
    const required = `claims.prefix: a header name's beginning that ends with "-" is required, such as "x-tollgate-"`;
    expect(errorWith(`"claims": {"prefix": "tollgate"}`)).toBe(required);
    expect(errorWith(`"claims": {"prefix": "-"}`)).toBe(required);
    expect(errorWith(`"claims": {"prefix": "x tollgate-"}`)).toBe(required);
    expect(errorWith(`"claims": {"prefix": ":x-"}`)).toBe(required);
    expect(errorWith(`"claims": {"prefix": ""}`)).toBe("claims.prefix: a non-empty string is required");
    expect(errorWith(`"claims": {"prefix": "x-"}`)).toBe(
      `claims.prefix: "x-" would remove "x-forwarded-for" from every request`,
    );
    expect(errorWith(`"claims": {"prefix": "Content-"}`)).toBe(
      `claims.prefix: "content-" would remove "content-length" from every request`,
    );
  });
});

describe("a configuration's key sources", () => {
  it("are one of four kinds each", () => {
    const one = "exactly one of header, bearer, query, cookie";
    expect(errorWith(`"keySources": [{"bearer": true}, {}]`)).toBe(`keySources[1]: ${one}`);
    expect(errorWith(`"keySources": [{"bearer": true}, {"header": "a", "query": "b"}]`)).toBe(`keySources[1]: ${one}`);
    expect(errorWith(`"keySources": [{"heder": "a"}]`)).toBe(
      `keySources[0]: unknown field "heder", did you mean "header"?`,
    );
    expect(errorWith(`"keySources": [{"bearer": false}]`)).toBe(
      "keySources[0].bearer: only true is allowed: leave the source out to switch it off",
    );
    expect(errorWith(`"keySources": [{"bearer": "yes"}]`)).toBe(
      "keySources[0].bearer: only true is allowed: leave the source out to switch it off",
    );
    expect(errorWith(`"keySources": ["header"]`)).toBe("keySources[0]: an object is required");
  });

  it("are 1 to 8 different ones", () => {
    const required = "keySources: an array of 1 to 8 key sources is required";
    expect(errorWith(`"keySources": []`)).toBe(required);
    expect(errorWith(`"keySources": {}`)).toBe(required);
    expect(errorWith(`"keySources": "x-api-key"`)).toBe(required);
    let eight = "";
    for (let i = 1; i <= 8; i++) eight += `{"query": "q${i}"},`;
    expect(errorWith(`"keySources": [${eight.substring(0, eight.length - 1)}]`)).toBe("");
    expect(errorWith(`"keySources": [${eight}{"bearer": true}]`)).toBe(required);
    expect(errorWith(`"keySources": [{"bearer": true}, {"bearer": true}]`)).toBe(
      "keySources[1]: the same as keySources[0]",
    );
    expect(errorWith(`"keySources": [{"header": "x-a"}, {"header": "X_A"}]`)).toBe(
      "keySources[1]: the same as keySources[0]",
    );
    expect(errorWith(`"keySources": [{"query": "a"}, {"cookie": "a"}, {"query": "A"}]`)).toBe("");
    expect(errorWith(`"keySources": [{"cookie": "a"}, {"query": "a"}, {"cookie": "a"}]`)).toBe(
      "keySources[2]: the same as keySources[0]",
    );
  });

  it("have names that can hold a key", () => {
    expect(errorWith(`"keySources": [{"header": ""}]`)).toBe("keySources[0].header: a non-empty string is required");
    expect(errorWith(`"keySources": [{"header": 7}]`)).toBe("keySources[0].header: a non-empty string is required");
    expect(errorWith(`"keySources": [{"header": "x key"}]`)).toBe(
      `keySources[0].header: "x key" is no header name (RFC 9110 token of at most 128 bytes)`,
    );
    expect(errorWith(`"keySources": [{"header": ":authority"}]`)).toBe(
      `keySources[0].header: ":authority" is no header name (RFC 9110 token of at most 128 bytes)`,
    );
    expect(errorWith(`"keySources": [{"cookie": "a;b"}]`)).toBe(
      `keySources[0].cookie: "a;b" is no cookie name (RFC 9110 token of at most 128 bytes)`,
    );
    expect(errorWith(`"keySources": [{"query": "${"q".repeat(129)}"}]`)).toBe("keySources[0].query: at most 128 bytes");
    const taken: StaticArray<string> = [
      "Host",
      "cookie",
      "Content-Length",
      "transfer-encoding",
      "connection",
      "Transfer_Encoding",
      "x-request-id",
    ];
    for (let i = 0; i < taken.length; i++) {
      expect(errorWith(`"keySources": [{"header": "${taken[i]}"}]`)).toBe(
        `keySources[0].header: "${taken[i]}" belongs to the message and can't hold a key`,
      );
    }
  });

  it("are no claims", () => {
    expect(errorWith(`"keySources": [{"header": "x-tollgate-key"}]`)).toBe(
      `keySources[0].header: "x-tollgate-key" begins with claims.prefix, whose headers are removed`,
    );
    expect(errorWith(`"keySources": [{"bearer": true}, {"header": "X_Tollgate_Key"}]`)).toBe(
      `keySources[1].header: "x_tollgate_key" begins with claims.prefix, whose headers are removed`,
    );
    expect(errorWith(`"keySources": [{"header": "x-org"}], "claims": {"names": {"claim-org": "X-Org"}}`)).toBe(
      `keySources[0].header: "x-org" is a claim's header in claims.names`,
    );
    expect(errorWith(`"claims": {"names": {"consumer": "X-Api-Key"}}`)).toBe(
      `keySources[0].header: "x-api-key" is a claim's header in claims.names`,
    );
  });
});

describe("a configuration's mistakes", () => {
  it("are named with the nearest known field", () => {
    expect(errorOf(`{"kyeSources": []}`)).toBe(`unknown field "kyeSources", did you mean "keySources"?`);
    expect(errorOf(`{"keysources": []}`)).toBe(`unknown field "keysources", did you mean "keySources"?`);
    expect(errorOf(`{"something": []}`)).toBe(`unknown field "something"`);
    expect(errorOf(`{"": 1}`)).toBe(`unknown field ""`);
    expect(errorOf(`{"a\\nb\\u001b": 1}`)).toBe(`unknown field "a?b?"`, "nothing that could forge a line of a log");
    expect(errorOf(`{"${"x".repeat(100)}": 1}`)).toBe(`unknown field "${"x".repeat(64)}..."`);
    expect(errorOf(`{"control": {"clutser": "x"}}`)).toBe(`control: unknown field "clutser", did you mean "cluster"?`);
    expect(errorWith(`"observe": {"keys": "strip"}`)).toBe(`observe: unknown field "keys", did you mean "key"?`);
    expect(errorWith(`"environment": "b"`)).toBe("environment: given twice");
  });

  it("are named with line and column when it isn't JSON", () => {
    expect(errorOf('{\n "environment": "default",\n "mode" "observe"\n}')).toBe("line 3, column 9: expected ':'");
    expect(errorOf('{"mode": "observe" "a": 1}')).toBe("line 1, column 20: expected ',' or '}'");
    expect(errorOf("{} {}")).toBe("line 1, column 4: expected the end");
    expect(errorOf(`{${STANDALONE}} x`)).toBe(`line 1, column ${STANDALONE.length + 4}: expected the end`);
    expect(errorOf('{"mode": ')).toBe("line 1, column 10: expected a value");
    expect(errorOf("mode: observe")).toBe("line 1, column 1: expected a value");
    expect(errorOf("[]")).toBe("an object is required");
    expect(errorOf("null")).toBe("an object is required");
    expect(errorWith(`"keySources": [{"header": "x"} {"bearer": true}]`).includes("expected ',' or ']'")).toBeTruthy();
  });

  it("are missing fields", () => {
    expect(errorOf(`{"mode": "observe"}`)).toBe("control: required, or else snapshot");
    expect(errorOf(`{${CONTROL}}`)).toBe("environment: 1 to 32 of a-z, 0-9 and - are required");
    expect(errorOf(`{"control": {}, "environment": "a"}`)).toBe("control.cluster: a non-empty string is required");
    expect(errorOf(`{"control": {"cluster": "c"}, "environment": "a"}`)).toBe(
      "control.authority: a non-empty string is required",
    );
    expect(errorOf(`{"control": {"cluster": "", "authority": "a"}}`)).toBe(
      "control.cluster: a non-empty string is required",
    );
    expect(errorOf(`{"control": {"cluster": null}}`)).toBe("control.cluster: a non-empty string is required");
    expect(errorOf(`{"control": "c"}`)).toBe("control: an object is required");
    expect(errorWith(CONTROL)).toBe("snapshot: not together with control: keys come from one of them");
  });

  it("are values out of bounds", () => {
    const environment = "environment: 1 to 32 of a-z, 0-9 and - are required";
    expect(errorOf(`{"environment": "Default"}`)).toBe(environment);
    expect(errorOf(`{"environment": "a_b"}`)).toBe(environment);
    expect(errorOf(`{"environment": "${"e".repeat(33)}"}`)).toBe(environment);
    expect(errorWith(`"snapshotWaitTimeoutMs": 60001`)).toBe(
      "snapshotWaitTimeoutMs: a whole number from 0 to 60000 is required",
    );
    expect(errorWith(`"snapshotWaitTimeoutMs": -1`)).toBe(
      "snapshotWaitTimeoutMs: a whole number from 0 to 60000 is required",
    );
    expect(errorWith(`"snapshotWaitTimeoutMs": 0.5`)).toBe(
      "snapshotWaitTimeoutMs: a whole number from 0 to 60000 is required",
    );
    expect(errorWith(`"snapshotWaitTimeoutMs": "2s"`)).toBe(
      "snapshotWaitTimeoutMs: a whole number from 0 to 60000 is required",
    );
    expect(errorWith(`"snapshotWaitTimeoutMs": 1e300`)).toBe(
      "snapshotWaitTimeoutMs: a whole number from 0 to 60000 is required",
    );
    expect(errorWith(`"maxSnapshotWaiters": 8193`)).toBe(
      "maxSnapshotWaiters: a whole number from 0 to 8192 is required",
    );
    expect(errorWith(`"maxSnapshotAgeSeconds": true`)).toBe(
      "maxSnapshotAgeSeconds: a whole number from 0 to 316224000 is required",
    );
    const badBases: StaticArray<string> = ["tollgate", "ftp://a.example/", "https://", "https://a b/"];
    for (let i = 0; i < badBases.length; i++) {
      expect(errorWith(`"problemTypeBase": "${badBases[i]}"`)).toBe(
        "problemTypeBase: a URL of 9 to 200 characters that begins with http:// or https:// is required",
      );
    }
    expect(errorWith(`"unknownApi": "pass"`)).toBe("unknownApi: one of deny, allow is required");
    expect(errorWith(`"mode": 1`)).toBe("mode: one of enforce, observe is required");
    expect(errorWith(`"failureMode": "local"`)).toBe("failureMode: one of closed, open is required");
    expect(errorWith(`"failureMode": "shut"`)).toBe("failureMode: one of closed, open is required");
    expect(errorOf(`{"control": {"cluster": "a b", "authority": "a"}}`)).toBe(
      "control.cluster: visible ASCII without blanks is required",
    );
    expect(errorOf(`{"control": {"cluster": "c", "authority": "a\\r\\nb: c"}}`)).toBe(
      "control.authority: visible ASCII without blanks is required",
    );
    expect(errorOf(`{"control": {"tokenEnv": "tgg-secret"}}`)).toBe(
      "control.tokenEnv: the name of an environment variable is required, not the token itself",
    );
    expect(errorOf(`{"control": {"timeoutMs": 99}}`)).toBe(
      "control.timeoutMs: a whole number from 100 to 60000 is required",
    );
    expect(errorOf(`{"control": {"waitMs": 55001}}`)).toBe(
      "control.waitMs: a whole number from 100 to 55000 is required",
    );
  });

  it("are a snapshot that isn't base64 or too large", () => {
    expect(errorOf(`{"snapshot": "AA=A"}`)).toBe("snapshot: not base64 at character 3");
    expect(errorOf(`{"snapshot": ""}`)).toBe("snapshot: a non-empty string is required");
    expect(errorOf(`{"environment": "a", "snapshot": "${"A".repeat(174763)}"}`)).toBe("");
    expect(errorOf(`{"environment": "a", "snapshot": "${"A".repeat(174764)}"}`)).toBe(
      "snapshot: 131073 bytes, more than 131072: use control",
    );
  });

  it("come one at a time, the first first", () => {
    expect(errorOf(`{"mode": "x", "kyeSources": 1, "snapshotWaitTimeoutMs": -1`)).toBe(
      "mode: one of enforce, observe is required",
    );
    expect(errorOf("{}")).toBe("", "and are forgotten by the next configuration");
    expect(configError()).toBe("");
  });
});
