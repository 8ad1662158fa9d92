/** The objects of a cluster: those that stand in a folder's YAML files, and those that clients wrote. Every change has a version and is told to watchers. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parseAllDocuments } from "yaml";
import { definedKinds, isNamespaced, kindOf, type Kind } from "./kinds.ts";

export interface StoredObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    [field: string]: unknown;
  };
  [field: string]: unknown;
}

/** Where an object is: `namespace` is "" for those of the whole cluster. */
export interface Place {
  group: string;
  plural: string;
  namespace: string;
  name: string;
}

export interface Change {
  version: number;
  type: "ADDED" | "MODIFIED" | "DELETED";
  place: Place;
  object: StoredObject;
}

interface Entry {
  place: Place;
  object: StoredObject;
  /** as the file has it; absent: a client wrote it */
  source?: StoredObject;
}

/** Between two looks at the folder. */
const scanMs = 40;
const createdAt = "2026-01-01T00:00:00Z";
/** The version of the Gateway API's definitions: istiod doesn't use those of old ones. */
const gatewayApiVersion = "v1.6.0";

export class Store {
  version = 10;
  private readonly entries = new Map<string, Entry>();
  private readonly watchers = new Set<(change: Change) => void>();
  private readonly changes: Change[] = [];
  private seen = "never";
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly folder: string,
    private readonly options: { gatewayApi: boolean },
  ) {
    this.scan();
    this.timer = setInterval(() => this.scan(), scanMs);
  }

  close(): void {
    clearInterval(this.timer);
    this.watchers.clear();
  }

  get(place: Place): StoredObject | undefined {
    return this.entries.get(keyOf(place))?.object;
  }

  list(matches: (place: Place, object: StoredObject) => boolean): StoredObject[] {
    return [...this.entries.values()].filter(({ place, object }) => matches(place, object)).map(({ object }) => object);
  }

  changesAfter(version: number): Change[] {
    return this.changes.filter((change) => change.version > version);
  }

  /** Tells of every change from now on; the answer ends it. */
  watch(told: (change: Change) => void): () => void {
    this.watchers.add(told);
    return () => this.watchers.delete(told);
  }

  /** What a client wrote. A status alone leaves the rest as it is. */
  write(place: Place, object: StoredObject, statusOnly: boolean): StoredObject {
    const entry = this.entries.get(keyOf(place));
    const written = statusOnly && entry !== undefined ? { ...entry.object, status: object["status"] } : object;
    return this.set({ place, object: written, ...(entry?.source === undefined ? {} : { source: entry.source }) });
  }

  delete(place: Place): void {
    const entry = this.entries.get(keyOf(place));
    if (entry === undefined) return;
    this.entries.delete(keyOf(place));
    this.tell("DELETED", entry.place, {
      ...entry.object,
      metadata: { ...entry.object.metadata, resourceVersion: String(++this.version) },
    });
  }

  /** Reads the folder again when a file of it is another. A file that can't be read stops the process: a test wrote it. */
  private scan(): void {
    const files = readdirSync(this.folder)
      .filter((name) => name.endsWith(".yaml"))
      .sort()
      .map((name) => join(this.folder, name));
    const seen = files.map((file) => `${file} ${statSync(file).mtimeMs} ${statSync(file).ino}`).join("\n");
    if (seen === this.seen) return;
    this.seen = seen;
    const sources = [...files.flatMap(readObjects), ...definitions(this.options.gatewayApi)];
    const namespaces = new Set([
      "default",
      "istio-system",
      "kube-system",
      ...sources.flatMap(({ metadata }) => metadata.namespace ?? []),
    ]);
    for (const { kind, metadata } of sources) if (kind === "Namespace") namespaces.delete(metadata.name);
    for (const name of namespaces)
      sources.push({
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
      });
    const present = new Set<string>();
    for (const source of sources) {
      const place = placeOf(source);
      present.add(keyOf(place));
      const known = this.entries.get(keyOf(place));
      if (known?.source === undefined || !isDeepStrictEqual(known.source, source))
        this.set({
          place,
          object: { ...source, ...(known?.object["status"] === undefined ? {} : { status: known.object["status"] }) },
          source,
        });
    }
    for (const [key, { place, source }] of this.entries)
      if (source !== undefined && !present.has(key)) this.delete(place);
  }

  private set(entry: Entry): StoredObject {
    const key = keyOf(entry.place);
    const known = this.entries.get(key);
    const version = ++this.version;
    const { namespace, name } = entry.place;
    const metadata = {
      uid: `uid-${key}`,
      creationTimestamp: createdAt,
      ...entry.object.metadata,
      name,
      ...(namespace === "" ? {} : { namespace }),
      generation: entry.source === known?.source && known !== undefined ? known.object.metadata["generation"] : version,
      resourceVersion: String(version),
    };
    const object = withAddress({ ...entry.object, metadata });
    this.entries.set(key, { ...entry, object });
    this.tell(known === undefined ? "ADDED" : "MODIFIED", entry.place, object);
    return object;
  }

  private tell(type: Change["type"], place: Place, object: StoredObject): void {
    const change = { version: this.version, type, place, object };
    this.changes.push(change);
    for (const watcher of this.watchers) watcher(change);
  }
}

function readObjects(file: string): StoredObject[] {
  return parseAllDocuments(readFileSync(file, "utf8")).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${file}: ${error.message}`);
    return (document.toJS() as StoredObject | null) ?? [];
  });
}

function definitions(gatewayApi: boolean): StoredObject[] {
  return definedKinds()
    .filter(({ group }) => gatewayApi || group !== "gateway.networking.k8s.io")
    .map((kind: Kind) => ({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: {
        name: `${kind.plural}.${kind.group}`,
        annotations: {
          "gateway.networking.k8s.io/bundle-version": gatewayApiVersion,
          "gateway.networking.k8s.io/channel": "standard",
        },
      },
      spec: {
        group: kind.group,
        names: { kind: kind.kind, plural: kind.plural },
        versions: [{ name: kind.version, served: true, storage: true }],
      },
    }));
}

/** A Service gets an address, the same for the same name. */
function withAddress(object: StoredObject): StoredObject {
  const spec = object["spec"] as { clusterIP?: string } | undefined;
  if (object.kind !== "Service" || spec?.clusterIP !== undefined) return object;
  let sum = 0;
  for (const character of `${object.metadata.namespace}/${object.metadata.name}`)
    sum = (sum * 31 + character.charCodeAt(0)) % 65_000;
  const clusterIP = `10.96.${sum >> 8}.${sum & 255 || 1}`;
  return { ...object, spec: { type: "ClusterIP", ...spec, clusterIP, clusterIPs: [clusterIP] } };
}

function placeOf({ apiVersion, kind, metadata }: StoredObject): Place {
  const { group, plural } = kindOf(apiVersion, kind);
  return {
    group,
    plural,
    namespace: isNamespaced(plural) ? (metadata.namespace ?? "default") : "",
    name: metadata.name,
  };
}

function keyOf({ group, plural, namespace, name }: Place): string {
  return [group, plural, namespace, name].join("/");
}
