/**
 * A stand-in for the Kubernetes API, as much of it as istiod needs: list, watch, get, and writes of what istiod keeps there (leases, status).
 * The cluster's objects are the YAML files of one folder; a file that is added, changed or removed is told to whoever watches.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { closer, listen } from "../../kit/http.ts";
import { kindByPlural } from "./kinds.ts";
import { Store, type Change, type Place, type StoredObject } from "./store.ts";

interface Target {
  group: string;
  version: string;
  plural: string;
  namespace: string;
  /** "" for a collection */
  name: string;
  subresource: string;
  query: URLSearchParams;
}

export interface KubernetesOptions {
  folder: string;
  /** the Gateway API's definitions are installed */
  gatewayApi: boolean;
}

export class KubernetesApi {
  private constructor(
    readonly port: number,
    private readonly end: () => Promise<void>,
    readonly store: Store,
  ) {}

  static async start(options: KubernetesOptions): Promise<KubernetesApi> {
    const store = new Store(options.folder, options);
    const server = createServer((request, response) => {
      answer(store, request, response).catch((error: unknown) => response.destroy(error as Error));
    });
    const close = closer(server);
    return new KubernetesApi(await listen(server), close, store);
  }

  /** For `--kubeconfig`. */
  kubeconfig(): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "tests",
      clusters: [{ name: "tests", cluster: { server: `http://127.0.0.1:${this.port}` } }],
      users: [{ name: "tests", user: { token: "none-is-asked-for" } }],
      contexts: [{ name: "tests", context: { cluster: "tests", user: "tests" } }],
    });
  }

  async close(): Promise<void> {
    this.store.close();
    await this.end();
  }
}

async function answer(store: Store, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://cluster");
  const discovered = discover(url.pathname);
  if (discovered !== undefined) return json(response, 200, discovered);
  const target = targetOf(url);
  if (target === undefined) return json(response, 404, notFound("page", url.pathname));
  const place: Place = target;
  const metadataOnly = (request.headers.accept ?? "").includes("PartialObjectMetadata");
  switch (request.method) {
    case "GET": {
      if (target.name !== "") {
        const object = store.get(place);
        return object === undefined
          ? json(response, 404, notFound(target.plural, target.name))
          : json(response, 200, object);
      }
      const truth = target.query.get("watch") ?? "";
      return ["1", "true"].includes(truth)
        ? watch(store, target, metadataOnly, response)
        : json(response, 200, list(store, target, metadataOnly));
    }
    case "DELETE":
      store.delete(place);
      return json(response, 200, { kind: "Status", apiVersion: "v1", status: "Success" });
    default: {
      const object = JSON.parse(await bodyOf(request)) as StoredObject;
      const name = target.name === "" ? object.metadata.name : target.name;
      const known = store.get({ ...place, name });
      if (request.method === "POST" && known !== undefined)
        return json(response, 409, {
          kind: "Status",
          apiVersion: "v1",
          status: "Failure",
          reason: "AlreadyExists",
          code: 409,
          message: `${name} exists`,
        });
      const written = store.write({ ...place, name }, object, target.subresource === "status");
      return json(response, request.method === "POST" ? 201 : 200, written);
    }
  }
}

/** What clients ask first: the version, and which groups there are (clients of these tests know them). */
function discover(path: string): object | undefined {
  const parts = path.split("/").filter((part) => part !== "");
  if (path === "/version") return { major: "1", minor: "34", gitVersion: "v1.34.0", platform: "linux/amd64" };
  if (path === "/api") return { kind: "APIVersions", versions: ["v1"] };
  if (path === "/apis") return { kind: "APIGroupList", apiVersion: "v1", groups: [] };
  if (path === "/api/v1") return { kind: "APIResourceList", apiVersion: "v1", groupVersion: "v1", resources: [] };
  if (parts.length === 3 && parts[0] === "apis")
    return { kind: "APIResourceList", apiVersion: "v1", groupVersion: `${parts[1]}/${parts[2]}`, resources: [] };
  return undefined;
}

function targetOf(url: URL): Target | undefined {
  const parts = url.pathname.split("/").filter((part) => part !== "");
  const [group, version, ...rest] = parts[0] === "api" ? ["", ...parts.slice(1)] : parts.slice(1);
  if (version === undefined || rest.length === 0) return undefined;
  const namespaced = rest.length >= 3 && rest[0] === "namespaces";
  const [plural = "", name = "", subresource = ""] = namespaced ? rest.slice(2) : rest;
  return {
    group: group ?? "",
    version,
    plural,
    namespace: namespaced ? rest[1]! : "",
    name,
    subresource,
    query: url.searchParams,
  };
}

function list(store: Store, target: Target, metadataOnly: boolean): object {
  const kind = kindByPlural(target.group, target.plural)?.kind ?? "Unknown";
  return {
    kind: metadataOnly ? "PartialObjectMetadataList" : `${kind}List`,
    apiVersion: metadataOnly ? "meta.k8s.io/v1" : groupVersion(target),
    metadata: { resourceVersion: String(store.version) },
    items: store
      .list((place, object) => selects(target, place, object))
      .map((object) => shown(target, object, metadataOnly)),
  };
}

/** One JSON line an event, until the client goes. */
function watch(store: Store, target: Target, metadataOnly: boolean, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
  const send = (type: string, object: StoredObject): void =>
    void response.write(`${JSON.stringify({ type, object: shown(target, object, metadataOnly) })}\n`);
  const tell = ({ type, place, object }: Change): void => {
    if (selects(target, place, object)) send(type, object);
  };
  if (target.query.get("sendInitialEvents") === "true") {
    for (const object of store.list((place, one) => selects(target, place, one))) send("ADDED", object);
    const kind = kindByPlural(target.group, target.plural)?.kind ?? "Unknown";
    send("BOOKMARK", {
      apiVersion: groupVersion(target),
      kind,
      metadata: {
        name: "",
        resourceVersion: String(store.version),
        annotations: { "k8s.io/initial-events-end": "true" },
      },
    });
  } else {
    const from = Number(target.query.get("resourceVersion") ?? 0);
    if (from > 0) for (const change of store.changesAfter(from)) tell(change);
  }
  response.on("close", store.watch(tell));
}

function selects(target: Target, place: Place, object: StoredObject): boolean {
  if (place.group !== target.group || place.plural !== target.plural) return false;
  if (target.namespace !== "" && place.namespace !== target.namespace) return false;
  const named = /^metadata\.name=(.*)$/.exec(target.query.get("fieldSelector") ?? "");
  if (named !== null && named[1] !== place.name) return false;
  const labels = object.metadata.labels ?? {};
  const wanted = (target.query.get("labelSelector") ?? "")
    .split(",")
    .filter((term) => /^[\w./-]+(=|==)[\w.-]+$/.test(term));
  return wanted.every((term) => {
    const [label = "", value = ""] = term.split(/==?/);
    return labels[label] === value;
  });
}

function shown(target: Target, object: StoredObject, metadataOnly: boolean): object {
  return metadataOnly
    ? { apiVersion: "meta.k8s.io/v1", kind: "PartialObjectMetadata", metadata: object.metadata }
    : { ...object, apiVersion: groupVersion(target) };
}

function groupVersion({ group, version }: Target): string {
  return group === "" ? version : `${group}/${version}`;
}

function notFound(kind: string, name: string): object {
  return {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    reason: "NotFound",
    code: 404,
    message: `${kind} ${name} not found`,
    details: { name, kind },
  };
}

function json(response: ServerResponse, status: number, body: object): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
