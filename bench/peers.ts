/** What people run today for keys and limits that hold over several gateways: a service beside Envoy, and Redis behind it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endWithUs } from "../tests/kit/process.ts";
import { freePorts } from "../tests/kit/ports.ts";
import { eventually } from "../tests/kit/eventually.ts";
import { apiKeyAuthFilter, bootstrap, extAuthzFilter, grpcCluster, rateLimitFilter } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import { goProgram } from "./goPrograms.ts";
import { benchKey, sha256Hex } from "./keys.ts";
import { notDurable, startBenchRedis, type BenchRedis } from "./redis.ts";
import type { RunningSystem, SystemContext } from "./systems.ts";
import { apiSegments, consumerOf, dayLimit, environment, headers, host, minuteLimit, path } from "./workload.ts";

const helpers = "service and Redis";
const domain = "apis";

/** ext_authz over gRPC; the server knows `keyCount` keys by their digest and does the whole job. Throws Unavailable. */
export function startExtAuthz(context: SystemContext, keyCount: number): Promise<RunningSystem> {
  return withService("authz", async ({ program, redis, folder, start }) => {
    const keysPath = join(folder, "keys");
    writeFileSync(
      keysPath,
      Array.from(
        { length: keyCount },
        (_, index) => `${sha256Hex(benchKey(environment, index))} ${consumerOf(index)} gold k${index} read,write\n`,
      ).join(""),
    );
    const args = [
      "127.0.0.1:0",
      `127.0.0.1:${redis.port}`,
      keysPath,
      host,
      apiSegments.join(","),
      String(minuteLimit),
      String(dayLimit),
    ];
    const service = start(program, args);
    const port = await eventually(
      "the ext_authz server's port",
      () => Number(/^(\d+)$/m.exec(service.output())?.[1] ?? 0) || undefined,
      60_000,
    );
    return startEnvoy(
      context,
      { filters: [extAuthzFilter("authz")], clusters: [grpcCluster("authz", port)] },
      keyCount,
    );
  });
}

/** Envoy's api_key_auth for the keys, and envoyproxy/ratelimit for a minute and a day limit of each client. Throws Unavailable. */
export function startRateLimitService(context: SystemContext, keyCount: number): Promise<RunningSystem> {
  return withService("ratelimit", async ({ program, redis, folder, start }) => {
    mkdirSync(join(folder, "current", "config"), { recursive: true });
    writeFileSync(join(folder, "current", "config", "apis.yaml"), rateLimitConfiguration());
    const [http = 0, grpc = 0, debug = 0] = await freePorts(3);
    const service = start(program, [], {
      HOST: "127.0.0.1",
      PORT: String(http),
      GRPC_HOST: "127.0.0.1",
      GRPC_PORT: String(grpc),
      DEBUG_HOST: "127.0.0.1",
      DEBUG_PORT: String(debug),
      LOG_LEVEL: "warn",
      USE_STATSD: "false",
      DISABLE_STATS: "true",
      RUNTIME_ROOT: folder,
      RUNTIME_SUBDIRECTORY: "current",
      RUNTIME_APPDIRECTORY: "config",
      RUNTIME_WATCH_ROOT: "false",
      REDIS_SOCKET_TYPE: "tcp",
      REDIS_TYPE: "SINGLE",
      REDIS_URL: `127.0.0.1:${redis.port}`,
    });
    await eventually(
      "the ratelimit service to be healthy",
      async () => service.running() && (await fetch(`http://127.0.0.1:${http}/healthcheck`)).ok,
      60_000,
    );
    // The client that a limit counts is what api_key_auth forwards; here it is the key's own id, so that each key has limits of its own.
    const keys = Array.from({ length: keyCount }, (_, index) => benchKey(environment, index));
    const filters = [apiKeyAuthFilter(keys, (index) => `k${index}`), rateLimitFilter("ratelimit", domain)];
    const descriptor = (kind: string): unknown => ({
      actions: [
        { generic_key: { descriptor_key: "kind", descriptor_value: kind } },
        { request_headers: { header_name: "x-tollgate-consumer", descriptor_key: "client" } },
      ],
    });
    return startEnvoy(
      context,
      {
        filters,
        clusters: [grpcCluster("ratelimit", grpc)],
        routeAction: { rate_limits: [descriptor("rate"), descriptor("quota")] },
      },
      keyCount,
    );
  });
}

interface Service {
  output(): string;
  running(): boolean;
}

interface Parts {
  program: string;
  redis: BenchRedis;
  folder: string;
  start(program: string, args: readonly string[], env?: Record<string, string>): Service;
}

/** Gives `makeEnvoy` a program and a Redis, and a way to start the program; all of it ends with the system. */
async function withService(
  name: "authz" | "ratelimit",
  makeEnvoy: (parts: Parts) => Promise<EnvoyProcess>,
): Promise<RunningSystem> {
  const program = await goProgram(name);
  const redis = await startBenchRedis(notDurable);
  const folder = mkdtempSync(join(tmpdir(), "tollgate-peer-"));
  const children: ChildProcess[] = [];
  const start: Parts["start"] = (path, args, env = {}) => {
    const logPath = join(folder, "log");
    const log = openSync(logPath, "w");
    // One thread suits one worker's load best: it spends the least.
    const child = spawn(path, args, { stdio: ["ignore", log, log], env: { ...process.env, GOMAXPROCS: "1", ...env } });
    endWithUs(child);
    children.push(child);
    const running = (): boolean => child.exitCode === null && child.signalCode === null;
    return { output: () => readFileSync(logPath, "utf8"), running };
  };
  const stop = async (): Promise<void> => {
    for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const envoy = await makeEnvoy({ program, redis, folder, start });
    const stopAll = async (): Promise<void> => {
      await envoy.stop();
      await stop();
    };
    return { envoy, helpers: { name: helpers, pids: [...children.map(({ pid }) => pid!), redis.pid] }, stop: stopAll };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The Envoy, once it admits the last key. */
async function startEnvoy(
  { envoyPath, upstreamPort }: SystemContext,
  options: Omit<Parameters<typeof bootstrap>[0], "upstreamPort">,
  keyCount: number,
): Promise<EnvoyProcess> {
  const envoy = await EnvoyProcess.start(envoyPath, bootstrap({ ...options, upstreamPort }));
  try {
    await envoy.until(200, path, { ...headers, "x-api-key": benchKey(environment, keyCount - 1) }, 60_000);
    return envoy;
  } catch (error) {
    await envoy.stop();
    throw error;
  }
}

function rateLimitConfiguration(): string {
  const limit = (kind: string, unit: string, count: number): string => `  - key: kind
    value: ${kind}
    descriptors:
      - key: client
        rate_limit: {unit: ${unit}, requests_per_unit: ${count}}
`;
  return `domain: ${domain}\ndescriptors:\n${limit("rate", "minute", minuteLimit)}${limit("quota", "day", dayLimit)}`;
}
