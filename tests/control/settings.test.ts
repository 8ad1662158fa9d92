/** Variables as Kubernetes hands them over: a Secret made of a file ends with a line break. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { clientOf, environmentOf, urlOf, adminTokenOf, type Context } from "../../cli/context.ts";
import { readConfig } from "../../control/config.ts";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { settings, StartError, variable } from "../../control/settings.ts";
import { portRoles, readSettings } from "../../devstack/settings.ts";
import { spawnControl, startControlProcess } from "./process.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { adminToken } from "./support.ts";

const around = ["\n", "\r\n", " ", "\t", "\n\n"];
/** A value that differs from the default for each variable that isn't a path; and what reads it. */
const values: Record<string, string> = {
  TOLLGATE_HOST: "127.0.0.2",
  TOLLGATE_CONTROL_PORT: "1234",
  TOLLGATE_SYNC_PORT: "1235",
  TOLLGATE_DATABASE_URL: "file:/nowhere/tollgate.db",
  TOLLGATE_REDIS_URL: "redis://127.0.0.1:1",
  TOLLGATE_REDIS_WAIT_REPLICAS: "1",
  TOLLGATE_LEASE_SECONDS: "60",
  TOLLGATE_USAGE_MINUTES_HOURS: "24",
  TOLLGATE_GATEWAYS_PER_TOKEN: "7",
  TOLLGATE_ADMIN_TOKEN: adminToken,
  TOLLGATE_LOG_LEVEL: "debug",
};
const stackValues = {
  ...Object.fromEntries(Object.values(portRoles).map(({ variable: name }, index) => [name, String(2000 + index)])),
  TOLLGATE_ADMIN_TOKEN: adminToken,
  TOLLGATE_ENVOY_CONCURRENCY: "3",
};
const paths = ["TOLLGATE_DATA_DIR", "TOLLGATE_SYNC_TLS_CERT", "TOLLGATE_SYNC_TLS_KEY"];
const names = (name: string) => (error: unknown) =>
  error instanceof StartError && error.message.includes(name) && error.remedy.length > 20;
const context = (env: Record<string, string>) => ({ env }) as unknown as Context;

describe("variables with blanks and line breaks around them", () => {
  it("every variable of control is one of these", () => {
    assert.deepEqual(Object.keys(settings).sort(), [...Object.keys(values), ...paths].sort());
  });

  for (const [name, value] of Object.entries(values)) {
    it(`${name} is read without them; alone, they are refused`, () => {
      const plain = readConfig({ [name]: value });
      for (const end of around) {
        assert.deepEqual(readConfig({ [name]: `${value}${end}` }), plain, JSON.stringify(end));
        assert.deepEqual(readConfig({ [name]: `${end}${value}${end}` }), plain, JSON.stringify(end));
        assert.throws(() => readConfig({ [name]: end }), names(name));
      }
      assert.throws(() => readConfig({ [name]: `${value}\n${value}` }), names(name));
      assert.deepEqual(readConfig({ [name]: "" }), readConfig({}), "empty is unset");
    });
  }

  for (const name of paths) {
    it(`${name}, a path, is refused with them, by name`, () => {
      for (const end of around)
        for (const given of [`/nowhere${end}`, `${end}/nowhere`, end])
          assert.throws(() => readConfig({ [name]: given }), names(name), JSON.stringify(given));
    });
  }

  it("the local stack's are read alike", async () => {
    for (const [name, value] of Object.entries(stackValues)) {
      const plain = { ...readSettings({ ...stackValues, [name]: value }) };
      for (const end of around)
        assert.deepEqual(readSettings({ ...stackValues, [name]: `${value}${end}` }), plain, name);
      assert.throws(() => readSettings({ ...stackValues, [name]: "\n" }), names(name));
    }
    assert.throws(() => readSettings({ TOLLGATE_DATA_DIR: "data\n" }), names("TOLLGATE_DATA_DIR"));
    await assert.rejects(findEnvoy({ env: { TOLLGATE_ENVOY: "/usr/bin/envoy\n" } }), names("TOLLGATE_ENVOY"));
  });

  it("the command line's are read alike, and a token that is none is named", () => {
    for (const end of around) {
      assert.equal(adminTokenOf(context({ TOLLGATE_ADMIN_TOKEN: `${adminToken}${end}` }), {}), adminToken);
      assert.equal(adminTokenOf(context({}), { token: `${adminToken}${end}` }), adminToken);
      assert.equal(urlOf(context({ TOLLGATE_URL: `http://127.0.0.1:1${end}` }), {}), "http://127.0.0.1:1");
      assert.equal(environmentOf(context({ TOLLGATE_ENVIRONMENT: `staging${end}` }), {}), "staging");
      assert.throws(() => urlOf(context({ TOLLGATE_URL: end }), {}), names("TOLLGATE_URL"));
    }
    assert.throws(
      () => clientOf(context({ TOLLGATE_ADMIN_TOKEN: "two words" }), {}),
      /TOLLGATE_ADMIN_TOKEN isn't a token/,
    );
    assert.throws(() => clientOf(context({}), { token: "two words" }), /--token isn't a token/);
  });

  it("no other file reads a variable of ours", () => {
    const root = join(import.meta.dirname, "..", "..");
    for (const folder of ["cli", "control", "devstack", "tools"]) {
      for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
        const path = join(folder, file);
        if (!file.endsWith(".ts") || path === join("control", "settings.ts")) continue;
        assert.doesNotMatch(readFileSync(join(root, path), "utf8"), /\benv(\.TOLLGATE_|\[["']TOLLGATE_)/, path);
      }
    }
  });

  it("empty and unset are one, blanks alone are neither", () => {
    assert.equal(variable({}, "TOLLGATE_X"), undefined);
    assert.equal(variable({ TOLLGATE_X: "" }, "TOLLGATE_X"), undefined);
    assert.throws(() => variable({ TOLLGATE_X: " " }, "TOLLGATE_X"), names("TOLLGATE_X"));
  });
});

describe("the process with such variables", () => {
  it("works, and its log names them, without their values", async (t) => {
    const control = await startControlProcess(t, {
      TOLLGATE_DATA_DIR: temporaryFolder(),
      TOLLGATE_ADMIN_TOKEN: `${adminToken}\n`,
      TOLLGATE_LOG_LEVEL: "info\r\n",
    });
    const response = await fetch(`${control.adminUrl}/v1/environments`, {
      headers: { authorization: `Bearer ${adminToken}` },
    });
    assert.equal(response.status, 200);
    const named = control.stdout
      .split("\n")
      .filter((line) => line.includes("were left out"))
      .map((line) => (JSON.parse(line) as { variable: string }).variable);
    assert.deepEqual(named, ["TOLLGATE_ADMIN_TOKEN", "TOLLGATE_LOG_LEVEL"]);
    assert.ok(!control.stdout.includes(adminToken));
  });

  it("ends with the name of a certificate's variable that has a line break", async (t) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "tls.crt"), "x");
    const started = spawnControl(t, {
      TOLLGATE_DATA_DIR: folder,
      TOLLGATE_SYNC_TLS_CERT: `${join(folder, "tls.crt")}\n`,
      TOLLGATE_SYNC_TLS_KEY: join(folder, "tls.crt"),
    });
    assert.equal(await started.ended, 1);
    assert.match(started.stderr, /TOLLGATE_SYNC_TLS_CERT has a blank or a line break/);
  });
});
