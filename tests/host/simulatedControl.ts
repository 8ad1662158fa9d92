import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { RecordWriter } from "../../control/sync/codec.ts";
import { heartbeatFrame, manifestFrame, sealFrame, type Stamp } from "../../control/sync/frames.ts";
import type { WireRecord } from "../../control/sync/records.ts";
import { CONTENT_TYPE, HEADER_BYTES } from "../../control/sync/wire.ts";
import type { ClusterHandler, Envoy, HttpAnswer, HttpCall } from "./host.ts";
import { difference, recordsOf, WireIds } from "./recordSet.ts";

/** A request as it came, and what it asked for. */
export interface SyncRequest {
  kind: "watch" | "page" | "report" | "other";
  atMs: number;
  path: string;
  query: URLSearchParams;
  authorization: string | undefined;
  call: HttpCall;
}

export interface ControlOptions {
  token?: string;
  /** records on one page of a snapshot */
  recordsPerPage?: number;
  /** records in one part of a delta */
  recordsPerDelta?: number;
  epoch?: bigint;
}

/**
 * What control does on its sync port, for one environment, on simulated time. It follows docs/wire.md, and can be made to fail
 * in every way that a gateway has to live with.
 */
export class SimulatedControl {
  readonly environment: string;
  readonly token: string;
  readonly requests: SyncRequest[] = [];
  /** `reset`: the connection breaks; `unavailable`: no endpoint; `silent`: never answers; a number: answers with that status */
  failure: "reset" | "unavailable" | "silent" | number | undefined;
  /** every answer takes this long */
  delayMs = 0;
  /** changes the bytes of an answer of 200 on their way */
  tamper: ((body: Buffer, request: SyncRequest) => Buffer) | undefined;
  /** answers a gateway that is behind with a manifest even if deltas would do */
  alwaysSnapshot = false;
  /** page requests are answered with 410, as when the snapshot was replaced meanwhile */
  pagesGone = false;
  epoch: bigint;
  version = 1n;
  spec: EnvironmentSpec;
  readonly #options: Required<Omit<ControlOptions, "token" | "epoch">>;
  #ids = new WireIds();
  #records: Map<string, WireRecord>;
  #deltas: { version: bigint; records: WireRecord[] }[] = [];
  #waiting: { request: SyncRequest; envoy: Envoy }[] = [];
  #pages: { version: bigint; pages: WireRecord[][] } | undefined;

  constructor(file: FileInput, options: ControlOptions = {}) {
    this.environment = file.environment ?? "default";
    this.token = options.token ?? "tgg_simulated";
    this.epoch = options.epoch ?? 0x1122334455667788n;
    this.#options = { recordsPerPage: options.recordsPerPage ?? 1000, recordsPerDelta: options.recordsPerDelta ?? 1000 };
    this.spec = fillEnvironment(file, this.environment);
    this.#records = recordsOf(this.spec, this.#ids);
  }

  /** Makes it a cluster of a simulated Envoy. */
  serve(envoy: Envoy, cluster = "control"): void {
    const handler: ClusterHandler = (call) => this.#handle(envoy, call);
    envoy.cluster(cluster, handler);
  }

  /** Commits a change as the next version and answers those who wait. `edit` gets a copy; it may change it or give another. */
  change(edit: (spec: EnvironmentSpec) => EnvironmentSpec | void): void {
    const copy = structuredClone(this.spec);
    this.spec = edit(copy) ?? copy;
    const after = recordsOf(this.spec, this.#ids);
    this.version++;
    this.#deltas.push({ version: this.version, records: difference(this.#records, after) });
    this.#records = after;
    this.#release();
  }

  /** Another database: versions can't be compared any more, wire ids begin anew. */
  newEpoch(epoch: bigint, version = 1n): void {
    this.epoch = epoch;
    this.version = version;
    this.#ids = new WireIds();
    this.#records = recordsOf(this.spec, this.#ids);
    this.#deltas = [];
    this.#pages = undefined;
    this.#release();
  }

  /** Forgets deltas, so that a gateway that is behind gets a snapshot. */
  forgetDeltas(): void {
    this.#deltas = [];
  }

  /** Breaks every call that waits, as a control that is killed does. */
  dropWaiting(): void {
    for (const { request } of this.#waiting.splice(0)) request.call.reset();
  }

  /** Watches that are held at this moment. */
  get waiting(): SyncRequest[] {
    return this.#waiting.map(({ request }) => request).filter(({ call }) => !call.done);
  }

  /** Requests of one kind so far. */
  of(kind: SyncRequest["kind"]): SyncRequest[] {
    return this.requests.filter((request) => request.kind === kind);
  }

  #handle(envoy: Envoy, call: HttpCall): HttpAnswer | "unavailable" | undefined {
    const url = new URL(call.path, "http://control");
    const kind = url.pathname === "/sync/v1/watch" ? "watch" : url.pathname.startsWith("/sync/v1/pages/") ? "page" : url.pathname === "/sync/v1/report" ? "report" : "other";
    const request: SyncRequest = { kind, atMs: envoy.nowMs, path: call.path, query: url.searchParams, authorization: call.headers.first("authorization"), call };
    this.requests.push(request);
    if (this.failure === "unavailable") return "unavailable";
    if (this.failure === "silent") return undefined;
    if (this.failure === "reset") return void call.reset(this.delayMs);
    if (this.failure !== undefined) return this.#problem(this.failure);
    if (request.authorization !== `Bearer ${this.token}`) return this.#problem(401);
    if (url.searchParams.get("environment") !== this.environment) return this.#problem(403);
    if (call.method !== "GET" || (url.searchParams.get("gateway") ?? "") === "") return this.#problem(400);
    if (kind === "watch") return this.#watch(envoy, request);
    if (kind === "page") return this.#page(envoy, request, Number(url.pathname.slice("/sync/v1/pages/".length)));
    return kind === "report" ? { status: 204, delayMs: this.delayMs } : this.#problem(404);
  }

  #watch(envoy: Envoy, request: SyncRequest): HttpAnswer | undefined {
    const waitMs = Number(request.query.get("waitMs") ?? 0);
    if (!/^[0-9a-f]{16}$/.test(request.query.get("epoch") ?? "") || !/^\d+$/.test(request.query.get("version") ?? "") || !(waitMs <= 55_000)) return this.#problem(400);
    const news = this.#news(envoy, request);
    if (news !== undefined) return this.#frames(news, request);
    const held = { request, envoy };
    this.#waiting.push(held);
    envoy.loop.post(waitMs, () => {
      if (!this.#waiting.includes(held)) return;
      this.#waiting.splice(this.#waiting.indexOf(held), 1);
      request.call.answer(this.#frames(heartbeatFrame(this.#stamp(envoy)), request));
    });
    return undefined;
  }

  /** Deltas or a manifest for a gateway that is behind; undefined when there is nothing new. */
  #news(envoy: Envoy, request: SyncRequest): Buffer | undefined {
    const epoch = BigInt(`0x${request.query.get("epoch")}`);
    const version = BigInt(request.query.get("version")!);
    if (epoch === this.epoch && version === this.version) return undefined;
    const missing = this.#deltas.filter((delta) => delta.version > version);
    const reaches = BigInt(missing.length) === this.version - version;
    if (epoch !== this.epoch || version > this.version || !reaches || this.alwaysSnapshot) return this.#manifest(envoy);
    return Buffer.concat(missing.map(({ version, records }) => this.#delta(envoy, version, records)));
  }

  #delta(envoy: Envoy, version: bigint, records: WireRecord[]): Buffer {
    const parts = chunks(records, this.#options.recordsPerDelta);
    return Buffer.concat(
      parts.map((part, i) => {
        const frame = frameOf(part);
        return sealFrame(frame, { ...this.#stamp(envoy), version, type: "delta", base: version - 1n, more: i < parts.length - 1 });
      }),
    );
  }

  #snapshot(): WireRecord[][] {
    if (this.#pages?.version !== this.version) this.#pages = { version: this.version, pages: chunks([...this.#records.values()], this.#options.recordsPerPage) };
    return this.#pages.pages;
  }

  #pageFrame(envoy: Envoy, index: number): Buffer {
    const pages = this.#snapshot();
    return sealFrame(frameOf(pages[index]!), { ...this.#stamp(envoy), type: "page", index, pageCount: pages.length });
  }

  #manifest(envoy: Envoy): Buffer {
    const pages = this.#snapshot();
    const count = (type: WireRecord["type"]) => [...this.#records.values()].filter((record) => record.type === type).length;
    return manifestFrame(this.#stamp(envoy), {
      pageCount: pages.length,
      keyCount: count("key"),
      consumerCount: count("consumer"),
      tierCount: count("tier"),
      apiCount: count("api"),
      limitCount: count("limit"),
      totalBytes: pages.reduce((sum, _page, index) => sum + this.#pageFrame(envoy, index).length, 0),
    });
  }

  #page(envoy: Envoy, request: SyncRequest, index: number): HttpAnswer {
    const wrong = request.query.get("version") !== String(this.version) || BigInt(`0x${request.query.get("epoch")}`) !== this.epoch;
    if (wrong || this.pagesGone || !(index < this.#snapshot().length)) return this.#problem(410);
    return this.#frames(this.#pageFrame(envoy, index), request);
  }

  #stamp(envoy: Envoy): Stamp {
    return { epoch: this.epoch, version: this.version, timeMs: Math.floor(envoy.wallMs) };
  }

  #frames(body: Buffer, request: SyncRequest): HttpAnswer {
    const sent = this.tamper === undefined ? body : this.tamper(Buffer.from(body), request);
    return { status: 200, headers: { "content-type": CONTENT_TYPE }, body: sent, delayMs: this.delayMs };
  }

  #problem(status: number): HttpAnswer {
    return { status, headers: { "content-type": "application/problem+json" }, body: JSON.stringify({ status }), delayMs: this.delayMs };
  }

  #release(): void {
    for (const { request, envoy } of this.#waiting.splice(0)) {
      const news = this.#news(envoy, request);
      if (news !== undefined) request.call.answer(this.#frames(news, request));
    }
  }
}

function frameOf(records: WireRecord[]): Buffer {
  const writer = new RecordWriter();
  for (const record of records) writer.write(record);
  const [frame = Buffer.alloc(HEADER_BYTES), ...more] = writer.finish();
  if (more.length > 0) throw new RangeError("the records don't fit into one frame: take fewer a page");
  return frame;
}

function chunks<T>(items: T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let from = 0; from < items.length; from += size) parts.push(items.slice(from, from + size));
  return parts.length === 0 ? [[]] : parts;
}
