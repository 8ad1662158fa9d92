/** manifests: Kubernetes YAML of a tollgate.yaml. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { PluginConfiguration } from "../../control/domain/pluginSchema.ts";
import { problemLine } from "../../control/domain/problem.ts";
import { parseFile } from "../../control/domain/yamlFile.ts";
import { projectRoot, wasmPath } from "../../control/projectPaths.ts";
import { wasmImage } from "../../tools/image/wasmImage.ts";
import { manifestFiles } from "../../tools/manifests/files.ts";
import { compareFolder, type FolderChange, writeFolder } from "../../tools/manifests/folder.ts";
import {
  type IstioVersion,
  ManifestError,
  type ManifestFile,
  type ManifestOptions,
  type RoutingFlavour,
} from "../../tools/manifests/model.ts";
import { environmentOf, optionsOf, print, type Context, type GlobalOptions } from "../context.ts";
import { RefusedError, UsageError } from "../failure.ts";
import { readInputFile, readSpec, withFile } from "../input.ts";
import { readPluginConfig } from "./files.ts";

interface Options extends GlobalOptions {
  file: string;
  output: string;
  routing: RoutingFlavour;
  istioVersion: IstioVersion;
  namespace: string;
  gateway: { namespace: string; name: string };
  gatewaySelector?: Record<string, string>;
  image?: string;
  controlImage?: string;
  imagePullSecret?: string;
  trustDomain: string;
  mesh: "sidecar" | "waypoint";
  workloadLabel: string;
  pluginConfig?: string;
  check?: boolean;
}

/** Stands for the registry that only the user knows. */
const exampleRegistry = "registry.example.com";

export function addManifestsCommand(program: Command, context: Context): void {
  withFile(program.command("manifests"), "tollgate.yaml")
    .description(
      "Write Kubernetes manifests for an Istio ingress gateway: the control plane, the filter, routes and policies.",
    )
    .requiredOption(
      "-o, --output <folder>",
      "Write to this folder; replaces and removes only files that this command created",
    )
    .option(
      "--routing <flavour>",
      "Routing API: istio (Gateway, VirtualService) or gateway-api (Gateway, HTTPRoute)",
      flavour,
      "istio",
    )
    .addOption(
      new Option("--istio-version <version>", "Istio version of the mesh")
        .argParser(istioVersion)
        .default({ major: 1, minor: 31 }, "1.31"),
    )
    .option("--namespace <name>", "Namespace of the control plane", dnsLabel, "tollgate")
    .addOption(
      new Option("--gateway <namespace/name>", "Namespace and name of the gateway")
        .argParser(gatewayName)
        .default({ namespace: "istio-ingress", name: "tollgate" }, "istio-ingress/tollgate"),
    )
    .option(
      "--gateway-selector <label=value,…>",
      "Labels of the gateway pods, with --routing istio (default: istio=ingressgateway)",
      labels,
    )
    .option(
      "--image <image@sha256:…>",
      "Image of the filter, by digest; or file://… in the Envoy container, for a trial",
    )
    .option("--control-image <image>", "Image of the control plane")
    .option("--image-pull-secret <name>", "Secret for pulling the filter image", dnsLabel)
    .option("--trust-domain <name>", "Trust domain of the mesh", trustDomain, "cluster.local")
    .option("--mesh <proxies>", "Proxies in front of services in the mesh: sidecar or waypoint", meshProxy, "sidecar")
    .option(
      "--workload-label <label>",
      "Pod label that contains the service name, with --mesh sidecar",
      labelName,
      "app",
    )
    .option("--plugin-config <path>", "YAML or JSON file with more plugin configuration, such as keySources")
    .option("--check", "Write nothing; exit with 1 if the folder differs from what would be written")
    .action(async (_options, command: Command) => {
      const options = optionsOf<Options>(command);
      if (options.routing === "gateway-api" && options.gatewaySelector !== undefined) {
        throw new UsageError(
          "--gateway-selector is for --routing istio: with the Gateway API a gateway's pods are known by the Gateway's name.",
        );
      }
      const files = await filesOf(context, options);
      const changes = await (options.check === true ? compareFolder : writeFolder)(options.output, files).catch(
        (error: NodeJS.ErrnoException) => {
          if (error instanceof ManifestError) throw new RefusedError(error.message);
          if (error.syscall !== undefined)
            throw new RefusedError(
              `${options.output} can't be ${options.check === true ? "read" : "written"}: ${error.message}`,
            );
          throw error;
        },
      );
      print(context, options, { folder: options.output, files: files.map(({ path }) => path), changes }, () =>
        report(options, files, changes),
      );
      if (options.check === true && changes.length > 0) throw new RefusedError("");
    });
}

async function filesOf(context: Context, options: Options): Promise<ManifestFile[]> {
  const text = await readInputFile(context, options.file);
  const { spec, warnings } = await readSpec(
    { ...context, readInput: async () => text },
    options.file,
    environmentOf(context, options),
  );
  if (options.json !== true)
    for (const warning of warnings) context.streams.err(`${problemLine(context.file!, warning)}\n`);
  const { keySources, ...plugin } = (
    options.pluginConfig === undefined ? {} : await readPluginConfig({ ...context }, options.pluginConfig)
  ) as Partial<PluginConfiguration>;
  const manifestOptions: ManifestOptions = {
    routing: options.routing,
    istioVersion: options.istioVersion,
    namespace: options.namespace,
    gateway: { ...options.gateway, selector: selectorOf(options) },
    image: {
      module: options.image ?? (await ownImage(context)),
      control: options.controlImage ?? `${exampleRegistry}/tollgate-control:${await ownVersion()}`,
    },
    environment: spec.environment,
    keySources,
    trustDomain: options.trustDomain,
    plugin,
    meshProxy: options.mesh,
    workloadLabel: options.workloadLabel,
    ...(options.imagePullSecret === undefined ? {} : { imagePullSecret: options.imagePullSecret }),
  };
  try {
    return manifestFiles(parseFile(text).input!, manifestOptions);
  } catch (error) {
    if (error instanceof ManifestError) throw new RefusedError(`${context.file}: ${error.message}`);
    throw error;
  }
}

function selectorOf({ routing, gateway, gatewaySelector }: Options): Record<string, string> {
  return routing === "gateway-api"
    ? { "gateway.networking.k8s.io/gateway-name": gateway.name }
    : (gatewaySelector ?? { istio: "ingressgateway" });
}

/** The digest of the module that was built here; only where it was pushed to is unknown. */
async function ownImage(context: Context): Promise<string> {
  const wasm = await readFile(wasmPath()).catch(() => {
    throw new RefusedError(
      "There is no --image, and no module built here whose digest could be taken. Give --image <image>@sha256:<digest>; `npm run image` prints the digest.",
    );
  });
  const image = `${exampleRegistry}/tollgate@${wasmImage(wasm, await ownVersion()).digest}`;
  context.streams.err(
    `No --image: ${image} stands for it, the digest of the module built here at a registry that isn't one.\n`,
  );
  return image;
}

async function ownVersion(): Promise<string> {
  return (JSON.parse(await readFile(join(projectRoot(), "package.json"), "utf8")) as { version: string }).version;
}

const signs = { missing: "+", different: "~", stale: "-" } as const;

function report({ output, check }: Options, files: readonly ManifestFile[], changes: readonly FolderChange[]): string {
  const lines = changes.map(({ kind, path }) => `${signs[kind]} ${path}\n`).join("");
  if (changes.length === 0) return `${output}: ${files.length} files, as they should be.\n`;
  return check === true
    ? `${lines}${output} is out of date: run the command without --check.\n`
    : `${lines}${output}: ${files.length} files.\n`;
}

function flavour(text: string): RoutingFlavour {
  if (text !== "istio" && text !== "gateway-api") throw new InvalidArgumentError("Give istio or gateway-api.");
  return text;
}

function meshProxy(text: string): Options["mesh"] {
  if (text !== "sidecar" && text !== "waypoint") throw new InvalidArgumentError("Give sidecar or waypoint.");
  return text;
}

function istioVersion(text: string): IstioVersion {
  const match = /^(\d{1,3})\.(\d{1,3})(?:\.\d+)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Give a version such as 1.31.");
  return { major: Number(match[1]), minor: Number(match[2]) };
}

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function dnsLabel(text: string): string {
  if (!label.test(text)) throw new InvalidArgumentError("Give a name of lower-case letters, digits and `-`.");
  return text;
}

function trustDomain(text: string): string {
  if (!/^[a-z0-9._-]{1,255}$/.test(text))
    throw new InvalidArgumentError(
      "Give a trust domain such as cluster.local: lower-case letters, digits, `.`, `_` and `-`.",
    );
  return text;
}

function labelName(text: string): string {
  if (!/^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(text))
    throw new InvalidArgumentError("Give the name of a label, such as app or app.kubernetes.io/name.");
  return text;
}

function gatewayName(text: string): Options["gateway"] {
  const [namespace = "", name = "", ...rest] = text.split("/");
  if (!label.test(namespace) || !label.test(name) || rest.length > 0)
    throw new InvalidArgumentError("Give namespace/name, such as istio-ingress/tollgate.");
  return { namespace, name };
}

function labels(text: string): Record<string, string> {
  const pairs = text
    .split(",")
    .map((pair) =>
      /^([A-Za-z0-9]([A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?)=([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)$/.exec(pair),
    );
  if (pairs.includes(null))
    throw new InvalidArgumentError("Give labels such as istio=ingressgateway, separated by commas.");
  return Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![3]!]));
}
