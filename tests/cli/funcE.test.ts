import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { isExecutable } from "../../devstack/envoy/install.ts";
import { envoyArguments } from "../../tools/envoy/bootstrap.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { standaloneGateway, tryGateway } from "./gateway.ts";
import { root } from "./support.ts";

const folder = join(root, ".tollgate", "func-e", "bin");
const funcE = join(folder, "func-e");
const installTimeoutMs = 900_000;

/** The path of func-e, built once into .tollgate/, or why it can't be had. */
async function ensureFuncE(): Promise<{ path: string } | { missing: string }> {
  if (await isExecutable(funcE)) return { path: funcE };
  const run = promisify(execFile);
  if (
    !(await run("go", ["version"]).then(
      () => true,
      () => false,
    ))
  )
    return { missing: "there is no Go on this machine to install func-e with" };
  try {
    await run("go", ["install", "github.com/tetratelabs/func-e/cmd/func-e@latest"], {
      env: { ...process.env, GOBIN: folder },
      timeout: installTimeoutMs,
    });
    return { path: funcE };
  } catch (error) {
    return { missing: `go install of func-e failed: ${(error as Error).message.trim().split("\n").at(-1)}` };
  }
}

test("func-e runs the gateway with an Envoy that is already here (docs/get-started/your-own-envoy.md)", async (t) => {
  const found = await ensureFuncE();
  if ("missing" in found) {
    t.skip(`${found.missing}: the gateway was not tried in func-e`);
    return;
  }
  const { configPath, url } = await standaloneGateway(temporaryFolder());
  const home = temporaryFolder();
  const env = {
    ...process.env,
    ENVOY_PATH: (await findEnvoy()).path,
    FUNC_E_DATA_HOME: home,
    FUNC_E_STATE_HOME: home,
    FUNC_E_CONFIG_HOME: home,
    FUNC_E_RUNTIME_DIR: home,
  };
  const { admitted, refusedStatus } = await tryGateway(url, found.path, ["run", ...envoyArguments(configPath, 1)], env);
  assert.match(admitted, /"x-tollgate-consumer":"acme"/);
  assert.equal(refusedStatus, 401);
});
