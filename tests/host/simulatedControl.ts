import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import type { CounterGeneration, LimitShape, Recall } from "../../control/counters/model.ts";
import { RecordWriter } from "../../control/sync/codec.ts";
import { heartbeatFrame, manifestFrame, sealFrame, type Stamp } from "../../control/sync/frames.ts";
import { recallFrame } from "../../control/sync/recallFrame.ts";
import { gatewayKey, PendingRecalls } from "../../control/sync/recalls.ts";
import type { WireRecord } from "../../control/sync/generated/records.ts";
import { CONTENT_TYPE, HEADER_BYTES } from "../../control/sync/wire.ts";
import type { ClusterHandler, Envoy, EventLoop, HttpAnswer, HttpCall } from "./host.ts";
import { difference, limitId, recordsOf, shapesOf, WireIds } from "./recordSet.ts";
import { SimulatedCounters } from "./simulatedCounters.ts";
import { SimulatedTokens } from "./simulatedTokens.ts";

/** A request as it came, and what it asked for. */
export interface SyncRequest {
  kind: "watch" | "page" | "report" | "leases" | "usage" | "tokens" | "other";
  atMs: number;
  path: string;
  query: URLSearchParams;
  authorization: string | undefined;
  call: HttpCall;
}

/** A call that is lost on its way. */
export interface Fault {
  /** `request`: control never sees it. `answer`: what control did is committed, and nobody hears of it */
  at: "request" | "answer";
  /** what the caller sees: a broken connection, nothing until its time is over, or a proxy's status */
  how: "reset" | "silent" | number;
}

export interface ControlOptions {
  token?: string;
  /** records on one page of a snapshot */
  recordsPerPage?: number;
  /** records in one part of a delta */
  recordsPerDelta?: number;
  epoch?: bigint;
  /** how long a lane may spend what it was granted */
  leaseMs?: number;
  /** by how much control's clock is ahead of the first gateway's */
  clockOffsetMs?: number;
}

/**
 * What control does on its sync port, for one environment, on simulated time. It follows docs/internals/protocol.md, and can be made to fail
 * in every way that a gateway has to live with.
 */
export class SimulatedControl {
  readonly environment: string;
  readonly token: string;
  readonly requests: SyncRequest[] = [];
  /** `reset`: the connection breaks; `unavailable`: no endpoint; `silent`: never answers; a number: answers with that status */
  failure: "reset" | "unavailable" | "silent" | number | undefined;
  /** decides for each call whether it's lost */
  fault: ((request: SyncRequest) => Fault | undefined) | undefined;
  /** every call takes this long until control sees it */
  requestDelayMs = 0;
  /** every answer takes this long */
  delayMs = 0;
  /** recalls never arrive */
  losesRecalls = false;
  clockOffsetMs: number;
  /** changes the bytes of an answer of 200 on their way */
  tamper: ((body: Buffer, request: SyncRequest) => Buffer) | undefined;
  /** answers a gateway that is behind with a manifest even if deltas would do */
  alwaysSnapshot = false;
  /** page requests are answered with 410, as when the snapshot was replaced meanwhile */
  pagesGone = false;
  epoch: bigint;
  version = 1n;
  spec: EnvironmentSpec;
  counters: SimulatedCounters;
  readonly tokens = new SimulatedTokens();
  readonly #options: { recordsPerPage: number; recordsPerDelta: number; leaseMs: number | undefined };
  #shapes: Map<number, LimitShape>;
  #clock: { loop: EventLoop; wallStartMs: number } | undefined;
  #recalls = new PendingRecalls();
  /** raised with each restart: what was under way before is lost */
  #life = 0;
  #ids = new WireIds();
  #records: Map<string, WireRecord>;
  #deltas: { version: bigint; records: WireRecord[] }[] = [];
  #waiting: { request: SyncRequest }[] = [];
  #pages: { version: bigint; pages: WireRecord[][] } | undefined;

  constructor(file: FileInput, options: ControlOptions = {}) {
    this.environment = file.environment ?? "default";
    this.token = options.token ?? "tgg_simulated";
    this.epoch = options.epoch ?? 0x1122334455667788n;
    this.clockOffsetMs = options.clockOffsetMs ?? 0;
    this.#options = {
      recordsPerPage: options.recordsPerPage ?? 1000,
      recordsPerDelta: options.recordsPerDelta ?? 1000,
      leaseMs: options.leaseMs,
    };
    this.spec = fillEnvironment(file, this.environment);
    this.#records = recordsOf(this.spec, this.#ids);
    this.#shapes = shapesOf(this.spec, this.#ids);
    this.counters = this.#newCounters();
  }

  /** Control's clock, Unix milliseconds. */
  get nowMs(): number {
    if (this.#clock === undefined) throw new Error("control serves nobody yet");
    return Math.floor(this.#clock.wallStartMs + this.#clock.loop.nowMs + this.clockOffsetMs);
  }

  /** Makes it a cluster of a simulated Envoy; all of them live in the first one's time. */
  serve(envoy: Envoy, cluster = "control"): void {
    this.#clock ??= { loop: envoy.loop, wallStartMs: envoy.wallMs - envoy.nowMs };
    if (this.#clock.loop !== envoy.loop) throw new Error("Envoys of one control share their time");
    const handler: ClusterHandler = (call) => this.#handle(envoy, call);
    envoy.cluster(cluster, handler);
  }

  /** Commits a change as the next version and answers those who wait. `edit` gets a copy; it may change it or give another. */
  change(edit: (spec: EnvironmentSpec) => EnvironmentSpec | void): void {
    const copy = structuredClone(this.spec);
    this.spec = edit(copy) ?? copy;
    const after = recordsOf(this.spec, this.#ids);
    this.#commit(difference(this.#records, after));
    this.#records = after;
    this.#shapes = shapesOf(this.spec, this.#ids);
    this.#release();
  }

  /** The wire id of a limit: see `limitId`. */
  limitId(owner: string, name: string): number {
    return limitId(this.#ids, owner, name);
  }

  /** The wire id of an API, tier or consumer. */
  wireId(kind: "api" | "tier" | "consumer", id: string): number {
    return this.#ids.of(kind, id);
  }

  /** Forgets what was spent of a counter, and tells the gateways. */
  async resetCounter(wireId: number, subject: string): Promise<void> {
    this.#tell(await this.counters.reset(wireId, subject));
  }

  /** Gives a counter's window extra, and tells the gateways. */
  async grantExtra(wireId: number, subject: string, amount: number): Promise<void> {
    this.#tell(await this.counters.grant(wireId, subject, amount));
  }

  /** It's killed and started again: what was committed stays, calls and answers under way are lost. */
  restart(): void {
    this.#life++;
    this.#recalls = new PendingRecalls();
    this.dropWaiting();
  }

  /** Another database: versions can't be compared any more, wire ids begin anew. */
  newEpoch(epoch: bigint, version = 1n): void {
    this.epoch = epoch;
    this.version = version;
    this.#ids = new WireIds();
    this.#records = recordsOf(this.spec, this.#ids);
    this.#shapes = shapesOf(this.spec, this.#ids);
    this.counters = this.#newCounters();
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
    const request: SyncRequest = {
      kind: kindOf(url.pathname),
      atMs: envoy.nowMs,
      path: call.path,
      query: url.searchParams,
      authorization: call.headers.first("authorization"),
      call,
    };
    this.requests.push(request);
    if (this.failure === "unavailable") return "unavailable";
    const fault: Fault | undefined =
      this.failure === undefined ? this.fault?.(request) : { at: "request", how: this.failure };
    if (this.requestDelayMs === 0) return void this.#receive(envoy, request, url, fault);
    const life = this.#life;
    envoy.loop.post(this.requestDelayMs, () =>
      life === this.#life ? this.#receive(envoy, request, url, fault) : call.reset(),
    );
    return undefined;
  }

  /** The call has come to control, unless it's lost on the way. */
  #receive(envoy: Envoy, request: SyncRequest, url: URL, fault: Fault | undefined): void {
    if (fault?.at === "request") return this.#lose(request, fault);
    const answer = this.#serve(envoy, request, url);
    if (answer === undefined) return;
    if (fault === undefined) this.#send(request, answer);
    else this.#lose(request, fault);
  }

  #lose({ call }: SyncRequest, { how }: Fault): void {
    if (how === "reset") call.reset(this.delayMs);
    else if (how !== "silent") call.answer({ ...problem(how), delayMs: this.delayMs });
  }

  /** Sends an answer, which a restart on its way cuts off. */
  #send({ call }: SyncRequest, answer: HttpAnswer): void {
    if (this.delayMs === 0) return call.answer(answer);
    const life = this.#life;
    this.#clock!.loop.post(this.delayMs, () => (life === this.#life ? call.answer(answer) : call.reset()));
  }

  #serve(envoy: Envoy, request: SyncRequest, url: URL): HttpAnswer | undefined {
    const { kind, query, call } = request;
    if (request.authorization !== `Bearer ${this.token}`) return problem(401);
    if (query.get("environment") !== this.environment) return problem(403);
    const posts = kind === "leases" || kind === "usage" || kind === "tokens";
    if (call.method !== (posts ? "POST" : "GET") || (query.get("gateway") ?? "") === "") return problem(400);
    if (
      posts &&
      (call.headers.first("content-type") !== CONTENT_TYPE || !/^[0-9a-f]{16}$/.test(query.get("epoch") ?? ""))
    )
      return problem(400);
    switch (kind) {
      case "watch":
        return this.#watch(envoy, request);
      case "page":
        return this.#page(request, Number(url.pathname.slice("/sync/v1/pages/".length)));
      case "report":
        return { status: 204 };
      case "leases":
        return this.#leases(request);
      case "usage": {
        const applied = this.counters.apply(call.body);
        return typeof applied === "number" ? problem(applied) : this.#frames(applied, request);
      }
      case "tokens": {
        const answered = this.tokens.answer(call.body, this.spec, this.#ids, this.epoch, this.nowMs);
        return typeof answered === "number" ? problem(answered) : this.#frames(answered, request);
      }
      case "other":
        return problem(404);
    }
  }

  #leases(request: SyncRequest): HttpAnswer {
    const decided = this.counters.lease(request.call.body, request.query.get("gateway")!, this.epoch);
    if (typeof decided === "number") return problem(decided);
    if (!this.losesRecalls) this.#recall(decided.recalls);
    return this.#frames(decided.body, request);
  }

  /** Ends the watches of gateways that are to return something; one that isn't watching now gets it with its next watch. */
  #recall(recalls: Recall[]): void {
    const touched = this.#recalls.add(recalls, this.nowMs);
    for (const held of this.#waiting.filter(({ request }) => touched.has(this.#gatewayOf(request)))) {
      const taken = this.#takeRecalls(held.request);
      if (taken === undefined) continue;
      this.#waiting.splice(this.#waiting.indexOf(held), 1);
      this.#send(held.request, this.#frames(taken, held.request));
    }
  }

  #takeRecalls(request: SyncRequest): Buffer | undefined {
    this.#recalls.sweep(this.nowMs);
    const recalls = this.#recalls.take(this.#gatewayOf(request));
    return recalls.length === 0 ? undefined : recallFrame(this.#stamp(), recalls);
  }

  #gatewayOf(request: SyncRequest): string {
    return gatewayKey(this.environment, request.query.get("gateway")!);
  }

  #newCounters(): SimulatedCounters {
    return new SimulatedCounters(
      this.environment,
      () => this.nowMs,
      (wireId) => this.#shapes.get(wireId),
      this.#options.leaseMs,
    );
  }

  #commit(records: WireRecord[]): void {
    this.version++;
    this.#deltas.push({ version: this.version, records });
  }

  #tell(generations: CounterGeneration[]): void {
    this.#commit(
      generations.map(({ wireId, generation, subject }) => ({ type: "counter", wireId, generation, subject })),
    );
    this.#release();
  }

  #watch(envoy: Envoy, request: SyncRequest): HttpAnswer | undefined {
    const waitMs = Number(request.query.get("waitMs") ?? 0);
    if (
      !/^[0-9a-f]{16}$/.test(request.query.get("epoch") ?? "") ||
      !/^\d+$/.test(request.query.get("version") ?? "") ||
      !(waitMs <= 55_000)
    )
      return problem(400);
    const news = this.#news(request) ?? this.#takeRecalls(request);
    if (news !== undefined) return this.#frames(news, request);
    const held = { request };
    this.#waiting.push(held);
    envoy.loop.post(waitMs, () => {
      if (!this.#waiting.includes(held)) return;
      this.#waiting.splice(this.#waiting.indexOf(held), 1);
      this.#send(request, this.#frames(heartbeatFrame(this.#stamp()), request));
    });
    return undefined;
  }

  /** Deltas or a manifest for a gateway that is behind; undefined when there is nothing new. */
  #news(request: SyncRequest): Buffer | undefined {
    const epoch = BigInt(`0x${request.query.get("epoch")}`);
    const version = BigInt(request.query.get("version")!);
    if (epoch === this.epoch && version === this.version) return undefined;
    const missing = this.#deltas.filter((delta) => delta.version > version);
    const reaches = BigInt(missing.length) === this.version - version;
    if (epoch !== this.epoch || version > this.version || !reaches || this.alwaysSnapshot) return this.#manifest();
    return Buffer.concat(missing.map(({ version, records }) => this.#delta(version, records)));
  }

  #delta(version: bigint, records: WireRecord[]): Buffer {
    const parts = chunks(records, this.#options.recordsPerDelta);
    return Buffer.concat(
      parts.map((part, i) => {
        const frame = frameOf(part);
        return sealFrame(frame, {
          ...this.#stamp(),
          version,
          type: "delta",
          base: version - 1n,
          more: i < parts.length - 1,
        });
      }),
    );
  }

  #snapshot(): WireRecord[][] {
    if (this.#pages?.version !== this.version)
      this.#pages = { version: this.version, pages: chunks([...this.#records.values()], this.#options.recordsPerPage) };
    return this.#pages.pages;
  }

  #pageFrame(index: number): Buffer {
    const pages = this.#snapshot();
    return sealFrame(frameOf(pages[index]!), { ...this.#stamp(), type: "page", index, pageCount: pages.length });
  }

  #manifest(): Buffer {
    const pages = this.#snapshot();
    const count = (type: WireRecord["type"]) =>
      [...this.#records.values()].filter((record) => record.type === type).length;
    return manifestFrame(this.#stamp(), {
      pageCount: pages.length,
      keyCount: count("key"),
      consumerCount: count("consumer"),
      tierCount: count("tier"),
      apiCount: count("api"),
      limitCount: count("limit"),
      totalBytes: pages.reduce((sum, _page, index) => sum + this.#pageFrame(index).length, 0),
    });
  }

  #page(request: SyncRequest, index: number): HttpAnswer {
    const wrong =
      request.query.get("version") !== String(this.version) || BigInt(`0x${request.query.get("epoch")}`) !== this.epoch;
    if (wrong || this.pagesGone || !(index < this.#snapshot().length)) return problem(410);
    return this.#frames(this.#pageFrame(index), request);
  }

  #stamp(): Stamp {
    return { epoch: this.epoch, version: this.version, timeMs: this.nowMs };
  }

  #frames(body: Buffer, request: SyncRequest): HttpAnswer {
    const sent = this.tamper === undefined ? body : this.tamper(Buffer.from(body), request);
    return { status: 200, headers: { "content-type": CONTENT_TYPE }, body: sent };
  }

  #release(): void {
    for (const { request } of this.#waiting.splice(0)) {
      const news = this.#news(request);
      if (news !== undefined) this.#send(request, this.#frames(news, request));
    }
  }
}

function kindOf(path: string): SyncRequest["kind"] {
  if (path.startsWith("/sync/v1/pages/")) return "page";
  const name = path.replace("/sync/v1/", "");
  return name === "watch" || name === "report" || name === "leases" || name === "usage" || name === "tokens"
    ? name
    : "other";
}

function problem(status: number): HttpAnswer {
  return { status, headers: { "content-type": "application/problem+json" }, body: JSON.stringify({ status }) };
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
