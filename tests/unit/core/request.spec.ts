import { Config } from "../../../assembly/config/parse";
import {
  HeaderPlan,
  SOURCE_EMPTY,
  SOURCE_ONE,
  SOURCE_SEVERAL,
  SOURCE_TOO_LONG,
  askedMethod,
  contentType,
  cookie,
  cookieCount,
  forged,
  forgedCount,
  host,
  method,
  origin,
  path,
  source,
} from "../../../assembly/http/headerScan";
import { configWith } from "./configs";
import { pairsOf } from "./host";
import { textAt } from "./wire";

let config: Config = configWith();
let plan = new HeaderPlan(config);
/** The bytes of the last scan: what was found lies in them. */
let scanned: StaticArray<u8> = [];

function configure(members: string = ""): void {
  config = configWith(members);
  plan = new HeaderPlan(config);
}

function scan(pairs: string[]): bool {
  scanned = pairsOf(pairs);
  return plan.scan(changetype<usize>(scanned), scanned.length, config);
}

/** What the source holds: its key, or its state in brackets. */
function held(i: u32): string {
  const one = source(i);
  if (one.state == SOURCE_EMPTY) return "[empty]";
  if (one.state == SOURCE_SEVERAL) return "[several]";
  if (one.state == SOURCE_TOO_LONG) return "[too long]";
  expect(one.state).toBe(SOURCE_ONE);
  return textAt(one.at, one.bytes);
}

function forgedNames(): string {
  let names = "";
  for (let i: u32 = 0; i < forgedCount; i++) names += (i > 0 ? " " : "") + textAt(forged(i).at, forged(i).bytes);
  return names;
}

const LONGEST = "k".repeat(256);

describe("a request's headers", () => {
  beforeAll(() => {
    configure();
  });

  it("give path, method and host", () => {
    expect(
      scan([":method", "GET", ":path", "/a?b=c", ":authority", "api.example.com:443", ":scheme", "https"]),
    ).toBeTruthy();
    expect(textAt(path.at, path.bytes)).toBe("/a?b=c");
    expect(textAt(method.at, method.bytes)).toBe("GET");
    expect(textAt(host.at, host.bytes)).toBe("api.example.com:443");
  });

  it("give what CORS and gRPC need", () => {
    scan([
      "origin",
      "https://a.example.com",
      "access-control-request-method",
      "PUT",
      "content-type",
      "application/grpc",
    ]);
    expect(textAt(origin.at, origin.bytes)).toBe("https://a.example.com");
    expect(textAt(askedMethod.at, askedMethod.bytes)).toBe("PUT");
    expect(textAt(contentType.at, contentType.bytes)).toBe("application/grpc");
  });

  it("of the request before are forgotten", () => {
    scan([
      ":path",
      "/a",
      ":method",
      "GET",
      ":authority",
      "h",
      "origin",
      "o",
      "access-control-request-method",
      "PUT",
      "content-type",
      "t",
      "x-api-key",
      "k",
      "x-tollgate-tier",
      "t",
      "cookie",
      "a=b",
    ]);
    scan([]);
    expect(path.bytes + method.bytes + host.bytes + origin.bytes + askedMethod.bytes + contentType.bytes).toBe(0);
    expect(held(0)).toBe("[empty]");
    expect(forgedCount).toBe(0);
    expect(cookieCount).toBe(0);
  });

  it("with names that only look like others are passed over", () => {
    scan([
      ":paths",
      "/x",
      ":pat",
      "/x",
      "path",
      "/x",
      ":metho",
      "x",
      ":authorit",
      "x",
      ":",
      "x",
      "",
      "x",
      "x-api-ke",
      "x",
      "x-api-keys",
      "x",
      "x-api-kez",
      "x",
      "X-API-KEY",
      "x",
      "cookies",
      "a=b",
    ]);
    expect(path.bytes + method.bytes + host.bytes).toBe(0);
    expect(held(0)).toBe("[empty]");
    expect(cookieCount).toBe(0);
  });
});

describe("a key in a header", () => {
  beforeAll(() => {
    configure(',"keySources":[{"header":"x-api-key"},{"header":"authorization"}]');
  });

  it("is its value without the blanks around it", () => {
    scan(["x-api-key", " \t secret key\t "]);
    expect(held(0)).toBe("secret key");
    expect(held(1)).toBe("[empty]");
  });

  it("that is empty or blank is none", () => {
    scan(["x-api-key", ""]);
    expect(held(0)).toBe("[empty]");
    scan(["x-api-key", " \t "]);
    expect(held(0)).toBe("[empty]");
  });

  it("that is repeated is one; others make several, whatever comes after", () => {
    scan(["x-api-key", "k", "x-api-key", " k "]);
    expect(held(0)).toBe("k");
    scan(["x-api-key", "k", "x-api-key", "l"]);
    expect(held(0)).toBe("[several]");
    scan(["x-api-key", "k", "x-api-key", "l", "x-api-key", "k"]);
    expect(held(0)).toBe("[several]");
    scan(["x-api-key", "k", "x-api-key", ""]);
    expect(held(0)).toBe("k");
    scan(["x-api-key", "", "x-api-key", "k"]);
    expect(held(0)).toBe("k");
    scan(["x-api-key", "k", "x-api-key", "kk"]);
    expect(held(0)).toBe("[several]");
  });

  it("may have 256 bytes", () => {
    scan(["x-api-key", LONGEST]);
    expect(held(0)).toBe(LONGEST);
    scan(["x-api-key", LONGEST + "k"]);
    expect(held(0)).toBe("[too long]");
    scan(["x-api-key", " " + LONGEST + " "]);
    expect(held(0)).toBe(LONGEST);
    scan(["x-api-key", "k", "x-api-key", LONGEST + "k"]);
    expect(held(0)).toBe("[several]");
    scan(["x-api-key", LONGEST + "k", "x-api-key", LONGEST + "k"]);
    expect(held(0)).toBe("[too long]");
    scan(["x-api-key", LONGEST + "k", "x-api-key", "k"]);
    expect(held(0)).toBe("[several]");
  });

  it("may be the raw Authorization", () => {
    scan(["authorization", "Bearer k", "x-api-key", "l"]);
    expect(held(0)).toBe("l");
    expect(held(1)).toBe("Bearer k");
  });
});

describe("a bearer key", () => {
  beforeAll(() => {
    configure(',"keySources":[{"bearer":true},{"header":"authorization"}]');
  });

  it("is the token alone", () => {
    scan(["authorization", "bEARER  tg_x "]);
    expect(held(0)).toBe("tg_x");
    expect(held(1)).toBe("bEARER  tg_x");
  });

  it("isn't there in another scheme, nor in another header", () => {
    scan(["authorization", "Basic dXNlcjpwYXNz"]);
    expect(held(0)).toBe("[empty]");
    scan(["authorization", "Bearer"]);
    expect(held(0)).toBe("[empty]");
    scan(["proxy-authorization", "Bearer k"]);
    expect(held(0)).toBe("[empty]");
  });

  it("may be repeated, and several, and too long", () => {
    scan(["authorization", "Bearer k", "authorization", "bearer k"]);
    expect(held(0)).toBe("k");
    scan(["authorization", "Bearer k", "authorization", "Bearer l"]);
    expect(held(0)).toBe("[several]");
    scan(["authorization", "Basic abc", "authorization", "Bearer l"]);
    expect(held(0)).toBe("l");
    scan(["authorization", "Bearer " + LONGEST + "k"]);
    expect(held(0)).toBe("[too long]");
  });
});

describe("a key in the query", () => {
  beforeAll(() => {
    configure(',"keySources":[{"query":"api_key"},{"query":"k"}]');
  });

  it("is its decoded value", () => {
    scan([":path", "/a?x=1&api%5fkey=a%2Bb+c&k=two"]);
    expect(held(0)).toBe("a+b c");
    expect(held(1)).toBe("two");
  });

  it("may be none, several, too long", () => {
    scan([":path", "/a?api_keys=x"]);
    expect(held(0)).toBe("[empty]");
    scan([":path", "/a?api_key="]);
    expect(held(0)).toBe("[empty]");
    scan([":path", "/a?api_key=a&api_key=%61"]);
    expect(held(0)).toBe("a");
    scan([":path", "/a?api_key=a&api_key=b"]);
    expect(held(0)).toBe("[several]");
    scan([":path", "/a?api_key=" + LONGEST]);
    expect(held(0)).toBe(LONGEST);
    scan([":path", "/a?api_key=" + LONGEST + "k"]);
    expect(held(0)).toBe("[too long]");
    scan([":path", "/a?api_key=+%20+"]);
    expect(held(0)).toBe("[empty]");
  });

  it("is looked for in no request without a path", () => {
    expect(scan(["x", "y"])).toBeTruthy();
    expect(held(0)).toBe("[empty]");
  });
});

describe("a key in a cookie", () => {
  beforeAll(() => {
    configure(',"keySources":[{"cookie":"api_key"},{"header":"cookie-key"}]');
  });

  it("is found in any cookie header", () => {
    scan(["cookie", "a=b; api_key=one; c=d"]);
    expect(held(0)).toBe("one");
    scan(["cookie", "a=b", "cookie", 'c=d; api_key="two"']);
    expect(held(0)).toBe("two");
    expect(cookieCount).toBe(2);
    expect(textAt(cookie(1).at, cookie(1).bytes)).toBe('c=d; api_key="two"');
  });

  it("may be repeated, also in several headers", () => {
    scan(["cookie", "api_key=one; api_key=one", "cookie", "api_key=one"]);
    expect(held(0)).toBe("one");
    scan(["cookie", "api_key=one; api_key=two"]);
    expect(held(0)).toBe("[several]");
    scan(["cookie", "api_key=one", "cookie", "api_key=two"]);
    expect(held(0)).toBe("[several]");
    scan(["cookie", "api_key=one", "cookie", "x=y", "cookie", "api_key=one; api_key=two"]);
    expect(held(0)).toBe("[several]");
    scan(["cookie", "x=y", "cookie", "api_key=one", "cookie", "api_key=one"]);
    expect(held(0)).toBe("one");
  });

  it("may be too long", () => {
    scan(["cookie", "api_key=" + LONGEST]);
    expect(held(0)).toBe(LONGEST);
    scan(["cookie", "api_key=" + LONGEST + "k"]);
    expect(held(0)).toBe("[too long]");
    scan(["cookie", "api_key=one", "cookie", "api_key=" + LONGEST + "k"]);
    expect(held(0)).toBe("[several]");
    scan(["cookie", "api_key=" + LONGEST + "k", "cookie", "api_key=one"]);
    expect(held(0)).toBe("[several]");
  });

  it("is looked for in 1024 headers; with more the request isn't read", () => {
    const pairs: string[] = [];
    for (let i = 0; i < 1023; i++) {
      pairs.push("cookie");
      pairs.push("a=b");
    }
    pairs.push("cookie");
    pairs.push("api_key=last");
    expect(scan(pairs)).toBeTruthy();
    expect(held(0)).toBe("last");
    pairs.push("cookie");
    pairs.push("a=b");
    expect(scan(pairs)).toBeFalsy();
  });
});

describe("eight sources", () => {
  it("are all read in one pass", () => {
    configure(
      ',"keySources":[{"cookie":"c1"},{"query":"q1"},{"header":"h1"},{"bearer":true},{"cookie":"c2"},{"query":"q2"},{"header":"h2"},{"header":"authorization"}]',
    );
    expect(
      scan([":path", "/?q2=Q2&q1=Q1", "h2", "H2", "authorization", "Bearer B", "cookie", "c2=C2;c1=C1", "h1", "H1"]),
    ).toBeTruthy();
    const expected: StaticArray<string> = ["C1", "Q1", "H1", "B", "C2", "Q2", "H2", "Bearer B"];
    for (let i = 0; i < 8; i++) expect(held(i)).toBe(expected[i]);
  });
});

describe("forged claims", () => {
  beforeAll(() => {
    configure(',"claims":{"names":{"consumer":"x-consumer-id","claim-org":"org"}}');
  });

  it("are all headers under the prefix, in every spelling", () => {
    scan([
      "x-tollgate-tier",
      "gold",
      "X-Tollgate-Tier",
      "gold",
      "x_tollgate_anything",
      "v",
      "x.tollgate.",
      "v",
      "x-tollgate",
      "no",
      "x-tollgates-a",
      "no",
      "ax-tollgate-a",
      "no",
    ]);
    expect(forgedNames()).toBe("x-tollgate-tier X-Tollgate-Tier x_tollgate_anything x.tollgate.");
  });

  it("are the renamed headers, in every spelling", () => {
    scan([
      "x-consumer-id",
      "v",
      "X_CONSUMER_ID",
      "v",
      "x-consumer.id",
      "v",
      "org",
      "v",
      "ORG",
      "v",
      "Org",
      "v",
      "orgs",
      "no",
      "or",
      "no",
      "x-consumer-idx",
      "no",
      "xconsumer-id",
      "no",
    ]);
    expect(forgedNames()).toBe("x-consumer-id X_CONSUMER_ID x-consumer.id org ORG Org");
  });

  it("may begin with any byte that a backend could take for the first one", () => {
    const other = configWith(',"claims":{"names":{"claim-org":"x-org"}}');
    const strict = new HeaderPlan(other);
    const pairs = pairsOf(["X-org", "v", "X_ORG", "v"]);
    expect(strict.scan(changetype<usize>(pairs), pairs.length, other)).toBeTruthy();
    expect(forgedCount).toBe(2);
  });

  it("are told one by one, for trailers", () => {
    const names: StaticArray<string> = ["x-tollgate-tier", "X_TOLLGATE_X", "x-consumer-id", "X.CONSUMER.ID", "org"];
    for (let i = 0; i < names.length; i++) {
      const name = String.UTF8.encode(names[i]);
      expect(plan.isClaim(changetype<usize>(name), name.byteLength)).toBeTruthy(names[i]);
    }
    const others: StaticArray<string> = ["", "x", "x-tollgate", "x-api-key", "orgs", "cookie", "grpc-status"];
    for (let i = 0; i < others.length; i++) {
      const name = String.UTF8.encode(others[i]);
      expect(plan.isClaim(changetype<usize>(name), name.byteLength)).toBeFalsy(others[i]);
    }
  });

  it("may be 1024; a request with more isn't read", () => {
    const pairs: string[] = [];
    for (let i = 0; i < 1024; i++) {
      pairs.push("x-tollgate-" + i.toString());
      pairs.push("v");
    }
    expect(scan(pairs)).toBeTruthy();
    expect(forgedCount).toBe(1024);
    pairs.push("org");
    pairs.push("v");
    expect(scan(pairs)).toBeFalsy();
  });
});

describe("pairs that aren't whole", () => {
  beforeAll(() => {
    configure(',"keySources":[{"header":"x-api-key"},{"query":"q"},{"cookie":"c"}]');
  });

  it("are refused wherever they end", () => {
    const whole = pairsOf([":path", "/a?q=1", "x-api-key", "k", "cookie", "c=d", "x-tollgate-tier", "t"]);
    for (let bytes = 0; bytes < whole.length; bytes++)
      expect(plan.scan(changetype<usize>(whole), bytes, config)).toBeFalsy(`${bytes} bytes`);
    expect(plan.scan(changetype<usize>(whole), whole.length, config)).toBeTruthy();
  });

  it("are refused with counts and lengths that don't fit, and nothing traps", () => {
    const names: string[] = [":path", "/a?q=1", "x-api-key", "k", "cookie", "c=d", "x-tollgate-tier", "t"];
    const numbers: StaticArray<u32> = [0xffffffff, 0xfffffffe, 0xfffffff0, 0x80000000, 0x7fffffff, 0x10000000, 1000];
    for (let i = 0; i < numbers.length; i++) {
      for (let place = 0; place < 9; place++) {
        const broken = pairsOf(names);
        store<u32>(changetype<usize>(broken) + place * 4, numbers[i]);
        expect(plan.scan(changetype<usize>(broken), broken.length, config)).toBeFalsy(`${numbers[i]} at ${place}`);
      }
    }
  });

  it("with lengths whose sum overflows are refused", () => {
    const broken = pairsOf(["x-api-key", "k", "a", "b"]);
    store<u32>(changetype<usize>(broken) + 4, 0xffffffff);
    store<u32>(changetype<usize>(broken) + 8, 0xffffffff);
    expect(plan.scan(changetype<usize>(broken), broken.length, config)).toBeFalsy();
    store<u32>(changetype<usize>(broken) + 4, 0xfffffff0);
    store<u32>(changetype<usize>(broken) + 8, 14);
    expect(plan.scan(changetype<usize>(broken), broken.length, config)).toBeFalsy();
  });
});
