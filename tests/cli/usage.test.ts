import assert from "node:assert/strict";
import { after, test } from "node:test";
import { table } from "../../cli/output.ts";
import { eventually } from "../kit/eventually.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { startHttpServer } from "../kit/http.ts";
import { freePort } from "../kit/ports.ts";
import { cli, Running, startTestControl } from "./support.ts";

const { env } = await startTestControl();

test("a wrong command line ends with 2 and says what is wrong", async () => {
  const cases: [string[], RegExp][] = [
    [[], /Usage: tollgate/],
    [["frobnicate"], /error: unknown command 'frobnicate'/],
    [["keys"], /Usage: tollgate keys/],
    [["keys", "create"], /error: required option '--consumer <id>' not specified/],
    [["keys", "revoke"], /error: missing required argument 'id'/],
    [["keys", "list", "--colour"], /error: unknown option '--colour'/],
    [["tiers", "list", "extra"], /error: too many arguments/],
    [["tiers", "list"], /No admin token: set TOLLGATE_ADMIN_TOKEN/],
    [["envoy-config", "--listen", "nowhere"], /Give host:port/],
  ];
  for (const [args, message] of cases) {
    const outcome = await cli(args);
    assert.equal(outcome.code, 2, args.join(" "));
    assert.equal(outcome.stdout, "");
    assert.match(outcome.stderr, message);
  }
});

test("help and version are for standard output and end with 0", async () => {
  const help = await cli(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: tollgate/);
  const command = await cli(["keys", "rotate", "--help"]);
  assert.equal(command.code, 0);
  assert.match(command.stdout, /--grace <length>[^]*Global Options:[^]*--url <url>/);
  assert.match((await cli(["--version"])).stdout, /^\d+\.\d+\.\d+\n$/);
});

test("a control that isn't there: what to check", async () => {
  const port = await freePort();
  const outcome = await cli(["tiers", "list"], {
    TOLLGATE_URL: `http://127.0.0.1:${port}/`,
    TOLLGATE_ADMIN_TOKEN: "x",
  });
  assert.equal(outcome.code, 1);
  assert.match(
    outcome.stderr,
    new RegExp(
      `^http://127\\.0\\.0\\.1:${port} can't be reached: connection refused\\. Is the control plane running \\(npm start, tollgate serve\\)\\? Check TOLLGATE_URL \\(or --url\\)`,
    ),
  );
});

test("something else at the URL: what to check", async () => {
  const { url, close } = await startHttpServer((_request, response) =>
    response.writeHead(502).end("<html>Bad gateway</html>"),
  );
  after(close);
  const outcome = await cli(["tiers", "list", "--url", url, "--token", "x"]);
  assert.equal(outcome.code, 1);
  assert.match(
    outcome.stderr,
    /answered 502: without a problem document, so it isn't Tollgate's admin API\. Check TOLLGATE_URL/,
  );
  assert.match((await cli(["tiers", "list", "--url", "nonsense", "--token", "x"])).stderr, /`nonsense` has no scheme/);
});

test("what others wrote can't move the cursor of a terminal", () => {
  const shown = table(
    [{ name: "red \u001b[31m\nnext\u009b" }, { name: undefined }],
    [{ title: "NAME", value: ({ name }) => name }],
  );
  assert.equal(shown, "NAME\nred ?[31m?next?\n-\n");
});

test("flags win over variables", async () => {
  assert.equal(
    (
      await cli(["tiers", "list", "--token", env.TOLLGATE_ADMIN_TOKEN!, "--url", env.TOLLGATE_URL!], {
        TOLLGATE_ADMIN_TOKEN: "wrong",
        TOLLGATE_URL: "http://127.0.0.1:1",
      })
    ).code,
    0,
  );
  const wrong = await cli(["tiers", "list", "--token", "wrong"], env);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /\(status 401, unauthenticated\)/);
});

test("serve runs control until SIGTERM, prints a first token once, and ends with 0", async () => {
  const dataDir = temporaryFolder();
  const variables = {
    ...process.env,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_CONTROL_PORT: "0",
    TOLLGATE_SYNC_PORT: "0",
    TOLLGATE_ADMIN_TOKEN: "",
    TOLLGATE_DATABASE_URL: "",
  };
  const first = new Running(["serve"], variables);
  await first.says("control is ready");
  const token = /Admin token \(shown this once\): (tga_\S+)/.exec(first.stderr)?.[1];
  assert.ok(token !== undefined, first.stderr);
  const url = /"adminUrl":"([^"]+)"/.exec(first.stdout)![1]!;
  assert.equal((await cli(["environments", "list"], { TOLLGATE_URL: url, TOLLGATE_ADMIN_TOKEN: token })).code, 0);
  first.child.kill("SIGTERM");
  assert.equal(await first.ended, 0);

  const second = new Running(["serve"], variables);
  await second.says("control is ready");
  assert.doesNotMatch(second.stderr, /Admin token/);
  second.child.kill("SIGINT");
  assert.equal(await second.ended, 0);
});

test("serve says which port is taken and ends with 1", async () => {
  const port = new URL(env.TOLLGATE_URL!).port;
  const taken = new Running(["serve"], {
    ...process.env,
    TOLLGATE_DATA_DIR: temporaryFolder(),
    TOLLGATE_CONTROL_PORT: port,
    TOLLGATE_SYNC_PORT: "0",
    TOLLGATE_ADMIN_TOKEN: "",
  });
  assert.equal(await taken.ended, 1);
  await eventually("the message", () =>
    taken.stderr.includes(`Port ${port} on 127.0.0.1 is in use.`) && taken.stderr.includes("TOLLGATE_CONTROL_PORT")
      ? true
      : undefined,
  );
});
