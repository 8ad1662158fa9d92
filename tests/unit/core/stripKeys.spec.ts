import { MAP_REQUEST_HEADERS, headerPairs, value, valueBytes } from "../../../assembly/abi/host";
import { beginCallback, scratch } from "../../../assembly/abi/memory";
import { Config } from "../../../assembly/config/parse";
import { Manifest } from "../../../assembly/wire/frame";
import { HeaderPlan } from "../../../assembly/http/headerScan";
import { sha256 } from "../../../assembly/lib/sha256";
import {
  STRIP_ALL,
  STRIP_BLIND,
  STRIP_KEYED,
  STRIP_KNOWN,
  stripKeys,
  stripUnread,
} from "../../../assembly/request/stripKeys";
import { KEY } from "../../../assembly/wire/enums";
import { Table } from "../../../assembly/snapshot/table";
import { at, rawBytes } from "../helpers";
import { configWith } from "./configs";
import { giveHeaders, startHost, takeCalls } from "./host";
import { Payload, keyBody } from "./wire";

let config: Config = configWith();
let plan = new HeaderPlan(config);

const HEADER: string = ',"keySources":[{"header":"x-api-key"},{"bearer":true},{"query":"key"},{"cookie":"key"}]';

function configure(members: string): void {
  config = configWith(members);
  plan = new HeaderPlan(config);
}

/** A table that knows the key `imported-key`. */
function knownKeys(): Table {
  const table = new Table();
  const counts = changetype<Manifest>(heap.alloc(40));
  memory.fill(changetype<usize>(counts), 0, 40);
  table.reserve(counts, 4);
  while (!table.clear()) {}
  const key = rawBytes("imported-key");
  const digest = heap.alloc(32);
  sha256(at(key), key.length, digest);
  const payload = new Payload();
  payload.record(KEY, keyBody(digest, "k", 1));
  table.apply(payload.start, payload.at);
  return table;
}

const table = knownKeys();

function strip(pairs: string[], how: i32, winner: i32, known: Table | null = table): string {
  beginCallback();
  giveHeaders("headers", pairs);
  expect(headerPairs(MAP_REQUEST_HEADERS)).toBeTruthy();
  expect(plan.scan(value(), valueBytes(), config)).toBeTruthy();
  stripKeys(config, how, winner, known);
  return takeCalls();
}

const EVERYWHERE: string[] = [
  ":path",
  "/a?x=1&key=q&y=2",
  "x-api-key",
  "h",
  "authorization",
  "Bearer b",
  "cookie",
  "a=b; key=c; d=e",
];

describe("keys of a request that goes no further", () => {
  beforeEach(() => {
    startHost();
    configure(HEADER);
  });

  it("go from every source", () => {
    expect(strip(EVERYWHERE, STRIP_ALL, -1)).toBe(
      "remove x-api-key\nremove authorization\nreplace :path: /a?x=1&y=2\nremove cookie\nadd cookie: a=b; d=e",
    );
  });

  it("are not looked for where there are none", () => {
    expect(strip([":path", "/a?x=1", "cookie", "a=b", "authorization", "Basic abc"], STRIP_ALL, -1)).toBe("");
    expect(strip([], STRIP_ALL, -1)).toBe("");
  });

  it("go also when they are several, or too long", () => {
    const long = "k".repeat(300);
    expect(
      strip(
        [":path", "/?key=1&key=2", "x-api-key", "a", "x-api-key", "b", "cookie", "key=a", "cookie", "key=b; c=d"],
        STRIP_ALL,
        -1,
      ),
    ).toBe("remove x-api-key\nreplace :path: /\nremove cookie\nadd cookie: c=d");
    expect(strip([":path", "/?key=" + long, "x-api-key", long, "cookie", "key=" + long], STRIP_ALL, -1)).toBe(
      "remove x-api-key\nreplace :path: /\nremove cookie",
    );
  });

  it("go when the headers can't be read, with all that is there", () => {
    stripUnread(config);
    expect(takeCalls()).toBe(
      "remove x-api-key\nremove authorization\nremove proxy-authorization\nremove referer\nremove cookie\nreplace :path: /",
    );
  });
});

describe("keys of an admitted caller", () => {
  beforeEach(() => {
    startHost();
    configure(HEADER);
  });

  it("go from every source but an Authorization that holds another token", () => {
    expect(strip(EVERYWHERE, STRIP_KEYED, 0)).toBe(
      "remove x-api-key\nreplace :path: /a?x=1&y=2\nremove cookie\nadd cookie: a=b; d=e",
    );
  });

  it("go from Authorization when it's the one that counted, or a key as well", () => {
    expect(strip(["authorization", "Bearer anything"], STRIP_KEYED, 1)).toBe("remove authorization");
    expect(strip(["x-api-key", "h", "authorization", "Bearer tg_default_x"], STRIP_KEYED, 0)).toBe(
      "remove x-api-key\nremove authorization",
    );
    expect(strip(["x-api-key", "h", "authorization", "Bearer imported-key"], STRIP_KEYED, 0)).toBe(
      "remove x-api-key\nremove authorization",
    );
    expect(strip(["x-api-key", "h", "authorization", "Bearer eyJhbGciOi"], STRIP_KEYED, 0)).toBe("remove x-api-key");
  });

  it("go from an Authorization that is repeated with another value: any of them may be a key", () => {
    const expected = "remove x-api-key\nremove authorization";
    expect(
      strip(
        ["x-api-key", "h", "authorization", "Bearer eyJhbGciOi", "authorization", "Bearer tg_default_x"],
        STRIP_KEYED,
        0,
      ),
    ).toBe(expected);
    expect(
      strip(
        ["x-api-key", "h", "authorization", "Bearer eyJhbGciOi", "authorization", "Bearer tg_default_x"],
        STRIP_BLIND,
        -1,
        null,
      ),
    ).toBe(expected);
  });

  it("go from the raw Authorization by the same rules", () => {
    configure(',"keySources":[{"header":"authorization"},{"header":"x-api-key"}]');
    expect(strip(["authorization", "tg_x", "x-api-key", "k"], STRIP_KEYED, 0)).toBe(
      "remove authorization\nremove x-api-key",
    );
    expect(strip(["authorization", "Basic abc", "x-api-key", "k"], STRIP_KEYED, 1)).toBe("remove x-api-key");
    expect(strip(["authorization", "imported-key", "x-api-key", "k"], STRIP_KEYED, 1)).toBe(
      "remove authorization\nremove x-api-key",
    );
  });
});

describe("keys of a request that passes without one", () => {
  beforeEach(() => {
    startHost();
    configure(HEADER);
  });

  it("go when they are known, or have the form of ours", () => {
    expect(strip(EVERYWHERE, STRIP_KNOWN, -1)).toBe("");
    expect(
      strip(
        [
          ":path",
          "/?key=imported-key",
          "x-api-key",
          "tg_x",
          "authorization",
          "Bearer tg_",
          "cookie",
          "key=imported-key",
        ],
        STRIP_KNOWN,
        -1,
      ),
    ).toBe("remove x-api-key\nremove authorization\nreplace :path: /\nremove cookie");
  });

  it("go when they are several: any of them may be a key", () => {
    expect(strip(["x-api-key", "a", "x-api-key", "b"], STRIP_KNOWN, -1)).toBe("remove x-api-key");
  });

  it("that are too long go when they begin as ours do", () => {
    expect(strip(["x-api-key", "tg_" + "k".repeat(300)], STRIP_KNOWN, -1)).toBe("remove x-api-key");
    expect(strip(["x-api-key", "k".repeat(300)], STRIP_KNOWN, -1)).toBe("");
  });
});

describe("keys of a request that passes without a table", () => {
  beforeEach(() => {
    startHost();
    configure(HEADER);
  });

  it("go from every source, from Authorization when they have the form of ours", () => {
    expect(strip(EVERYWHERE, STRIP_BLIND, -1, null)).toBe(
      "remove x-api-key\nreplace :path: /a?x=1&y=2\nremove cookie\nadd cookie: a=b; d=e",
    );
    expect(strip(["authorization", "Bearer tg_x"], STRIP_BLIND, -1, null)).toBe("remove authorization");
    expect(strip(["authorization", "Bearer imported-key"], STRIP_BLIND, -1, table)).toBe("");
  });
});

describe("keys in query and cookies", () => {
  beforeEach(() => {
    startHost();
    configure(',"keySources":[{"query":"a"},{"query":"b"},{"cookie":"a"},{"cookie":"b"}]');
  });

  it("of several names go in one change each", () => {
    expect(
      strip([":path", "/?a=1&x=2&b=3", "cookie", "a=1; x=2; b=3", "cookie", "b=3", "cookie", "y=4"], STRIP_ALL, -1),
    ).toBe("replace :path: /?x=2\nremove cookie\nadd cookie: x=2\nadd cookie: y=4");
  });

  it("go though there is hardly any room left", () => {
    const long = "v".repeat(300_000);
    beginCallback();
    giveHeaders("headers", [":path", "/?x=" + long + "&a=1", "cookie", "x=" + long + "; a=1"]);
    expect(headerPairs(MAP_REQUEST_HEADERS)).toBeTruthy();
    expect(plan.scan(value(), valueBytes(), config)).toBeTruthy();
    while (scratch(1 << 14) != 0) {}
    stripKeys(config, STRIP_ALL, -1, null);
    expect(takeCalls()).toBe("replace :path: /?x=" + long + "\nremove cookie\nadd cookie: x=" + long);
  });
});
