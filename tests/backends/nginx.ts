/** nginx: found on the PATH, or Debian's package unpacked into `.tollgate/backends/nginx`. It decodes and cleans paths before it chooses a location. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { projectRoot } from "../../control/projectPaths.ts";
import { upstreamHeader } from "../differential/upstreams.ts";
import { endWithUs } from "../kit/process.ts";
import { freePorts } from "../kit/ports.ts";
import { send } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import type { Backend, Handler, MissingBackend } from "./backend.ts";

const run = promisify(execFile);
const installTimeoutMs = 300_000;
const unpacked = join(projectRoot(), ".tollgate", "backends", "nginx");
/** `nginx-core` holds the program on older releases. */
const packages = ["nginx", "nginx-core"];
const variants = ["nginx", "nginx with locations that ignore case"];

export async function nginxBackends(): Promise<(Backend | MissingBackend)[]> {
  const { path, tried } = await findNginx();
  if (path === undefined)
    return variants.map((name) => ({
      name,
      missing: `nginx isn't on the PATH, and Debian's package can't be had: ${tried.join("; ")}`,
    }));
  const folder = mkdtempSync(join(tmpdir(), "tollgate-nginx-"));
  const ports = await freePorts(variants.length);
  writeFileSync(join(folder, "nginx.conf"), configuration(folder, ports));
  const child = spawn(
    path,
    [
      "-p",
      folder,
      "-c",
      join(folder, "nginx.conf"),
      "-e",
      join(folder, "error.log"),
      "-g",
      "daemon off; master_process off;",
    ],
    { stdio: "ignore" },
  );
  endWithUs(child);
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await eventually(
      "nginx to answer",
      async () => {
        if (child.exitCode !== null)
          throw new Error(`nginx ended with ${child.exitCode}: ${readFileSync(join(folder, "error.log"), "utf8")}`);
        return (await send(ports[0]!, { path: "/" })).status === 200;
      },
      60_000,
    );
  } catch (error) {
    await close();
    throw error;
  }
  return ports.map((port, index) => ({ name: variants[index]!, port, close }));
}

function configuration(folder: string, [plain, caseless]: readonly number[]): string {
  const says = (handler: Handler): string => `add_header ${upstreamHeader} ${handler} always; return 200;`;
  const server = (port: number, location: (path: string) => string, exact: (path: string) => string): string => `
    server {
      listen 127.0.0.1:${port};
      ${location("/admin")} { ${says("admin")} }
      ${location("/items")} { if ($request_method ~* "^(POST|PUT|DELETE)$") { ${says("write")} } ${says("read")} }
      ${exact("/reports/export")} { if ($request_method ~* "^POST$") { ${says("export")} } ${says("report")} }
      ${location("/reports")} { ${says("report")} }
      location / { ${says("site")} }
    }`;
  return `
  pid ${join(folder, "nginx.pid")};
  events { worker_connections 512; }
  http {
    access_log off;
    keepalive_requests 1000000;
    ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${join(folder, name)};`).join(" ")}
    ${server(
      plain!,
      (path) => `location ~ ^${path}(/|$)`,
      (path) => `location = ${path}`,
    )}
    ${server(
      caseless!,
      (path) => `location ~* ^${path}(/|$)`,
      (path) => `location ~* ^${path}$`,
    )}
  }`;
}

async function findNginx(): Promise<{ path: string | undefined; tried: string[] }> {
  const tried: string[] = [];
  const runs = async (path: string): Promise<boolean> =>
    existsSync(path) &&
    run(path, ["-v"]).then(
      () => true,
      () => false,
    );
  const onPath = [...(process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== ""), "/usr/sbin"].map(
    (folder) => join(folder, "nginx"),
  );
  const inFolder = (folder: string): string => join(folder, "usr", "sbin", "nginx");
  for (const path of [...onPath, inFolder(unpacked)]) if (await runs(path)) return { path, tried };
  const attempt = async (command: string, args: string[], cwd: string): Promise<unknown> =>
    run(command, args, {
      cwd,
      timeout: installTimeoutMs,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    }).catch((error: Error) => tried.push(error.message.trim().split("\n").at(-1)!));
  if (userInfo().uid === 0) await attempt("apt-get", ["update", "-qq"], tmpdir());
  mkdirSync(join(unpacked, ".."), { recursive: true });
  const folder = mkdtempSync(join(unpacked, "..", "nginx-"));
  for (const name of packages) await attempt("apt-get", ["download", "-qq", name], folder);
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".deb")))
    await attempt("dpkg", ["-x", name, "."], folder);
  if (await runs(inFolder(folder))) {
    try {
      renameSync(folder, unpacked);
    } catch {
      rmSync(folder, { recursive: true, force: true }); // another process was faster
    }
    return { path: inFolder(unpacked), tried };
  }
  rmSync(folder, { recursive: true, force: true });
  return { path: undefined, tried };
}
