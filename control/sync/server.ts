/** The sync port: gateways watch, fetch pages and report; their lanes lease allowance and tell usage (docs/internals/protocol.md). */
import type { Server as HttpsServer } from "node:https";
import { Readable } from "node:stream";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from "fastify";
import type { Registry } from "prom-client";
import type { Recall } from "../counters/model.ts";
import type { CounterStore } from "../counters/store.ts";
import type { Issuer } from "../internalTokens/issuer.ts";
import type { FeedSource } from "../store/feedSource.ts";
import type { UsageSink } from "../usage/model.ts";
import { maskSecrets } from "../secrets.ts";
import { Catalogs } from "./catalogs.ts";
import { type Answer, EnvironmentFeed, feedBounds, type FeedBounds } from "./feed.ts";
import { gatewayName } from "../store/gatewayName.ts";
import { Gateways } from "./gateways.ts";
import { Leases } from "./leases.ts";
import { syncMetrics, type SyncMetrics } from "./metrics.ts";
import {
  epochOf,
  exchangeQuery,
  type ExchangeQuery,
  jwksParams,
  type JwksParams,
  pageParams,
  type PageParams,
  pageQuery,
  type PageQuery,
  reportQuery,
  type ReportQuery,
  watchQuery,
  type WatchQuery,
} from "./parameters.ts";
import { type PollBounds, Polls } from "./polls.ts";
import { SyncProblem } from "./problems.ts";
import { RecallPost } from "./recallPost.ts";
import { gatewayKey, PendingRecalls } from "./recalls.ts";
import { Refusals } from "./refusals.ts";
import { followTls, type Tls } from "./tls.ts";
import { TokenCalls } from "./tokenCalls.ts";
import { type Grant, Tokens } from "./tokens.ts";
import { UsageCalls } from "./usageCalls.ts";
import { CONTENT_TYPE, MAX_FRAME_BYTES } from "./wire.ts";

export interface SyncServerOptions {
  source: FeedSource;
  counters: CounterStore;
  usage: UsageSink;
  /** signs internal tokens; absent: there are none */
  issuer?: Issuer;
  logger: FastifyBaseLogger;
  registry: Registry;
  /** absent: plain HTTP */
  tls?: Tls;
  feed?: FeedBounds;
  polls?: PollBounds;
  /** gateways that a token may have at a time */
  gatewaysPerToken?: number;
}

export interface SyncServer {
  /** Reads the environments, so that their gateways are answered at once. Throws when the store fails; may be called again. */
  warm(environments: readonly string[]): Promise<void>;
  /** Gives the URL. Throws when the port can't be had. */
  listen(address: { host: string; port: number }): Promise<string>;
  /** Hears of other replicas' recalls. Throws when the counter store can't be reached. */
  listenForRecalls(): Promise<void>;
  /** Whether every environment that was asked for, by `warm` or by a gateway, can be answered. */
  readonly ready: boolean;
  /** Answers the calls that wait, lets others finish and closes the port. */
  close(): Promise<void>;
}

const defaultGatewaysPerToken = 250;
/** Envoy keeps idle connections for an hour; closing them first would make it send into a closed one. */
const keepAliveMs = 65 * 60_000;
/** A download that takes longer than this is cut off by `close`. */
const stopGraceMs = 5000;
const sweepEveryMs = 100;
/** Work that the sweep does less often. */
const everyMs = { tokens: 500, tidy: 1000, recheck: 5000, prune: 60_000 };
type Job = keyof typeof everyMs;

/** Makes the server; `listen` opens its port. */
export function createSyncServer(options: SyncServerOptions): SyncServer {
  return new Server(options);
}

interface FeedEntry {
  feed: EnvironmentFeed;
  starting: Promise<void> | undefined;
}

class Server implements SyncServer {
  readonly #options: SyncServerOptions;
  readonly #log: FastifyBaseLogger;
  readonly #app: FastifyInstance;
  readonly #tokens: Tokens;
  readonly #gateways: Gateways;
  readonly #polls: Polls;
  readonly #metrics: SyncMetrics;
  readonly #refusals: Refusals;
  readonly #catalogs: Catalogs;
  readonly #leases: Leases;
  readonly #usage: UsageCalls;
  readonly #recalls = new PendingRecalls();
  readonly #recallPost: RecallPost;
  readonly #feeds = new Map<string, FeedEntry>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #doneMs: Record<Job, number> = { tokens: 0, tidy: 0, recheck: 0, prune: Date.now() };
  #unfollowTls: (() => void) | undefined;
  /** calls that are not yet answered */
  #underWay = 0;
  #stopping = false;

  constructor(options: SyncServerOptions) {
    this.#options = options;
    this.#log = options.logger;
    this.#tokens = new Tokens(options.source);
    this.#gateways = new Gateways(options.source, options.gatewaysPerToken ?? defaultGatewaysPerToken, (error) =>
      this.#log.warn({ err: error }, "a gateway's report could not be stored; it is tried again"),
    );
    this.#polls = new Polls(options.polls ?? { overall: 10_000, perToken: 5000 });
    this.#metrics = syncMetrics(options.registry, {
      parked: () => this.#polls.size,
      environments: () => this.#readings(),
    });
    this.#recallPost = new RecallPost(options.counters, (error) =>
      this.#log.warn({ err: error }, "other replicas could not be told of recalls; gateways ask again"),
    );
    this.#refusals = new Refusals(this.#metrics, this.#log);
    this.#catalogs = new Catalogs(options.source);
    this.#leases = new Leases(options.counters, this.#catalogs, this.#metrics, this.#refusals, (recalls) => {
      this.#recallPost.send(
        recalls.filter(({ environment, gateway }) => !this.#polls.has(gatewayKey(environment, gateway))),
      );
      this.#recall(recalls);
    });
    this.#usage = new UsageCalls(options.usage, this.#catalogs, this.#metrics, this.#refusals);
    this.#app = this.#routes();
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs);
    this.#sweeper.unref();
  }

  get ready(): boolean {
    return !this.#stopping && [...this.#feeds.values()].every(({ feed }) => feed.ready);
  }

  async warm(environments: readonly string[]): Promise<void> {
    for (const environment of environments) await this.#feed(environment);
  }

  async listenForRecalls(): Promise<void> {
    await this.#options.counters.listen((recalls) => this.#recall(recalls));
  }

  async listen(address: { host: string; port: number }): Promise<string> {
    return this.#app.listen(address);
  }

  async close(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    clearInterval(this.#sweeper);
    this.#polls.endAll();
    this.#unfollowTls?.();
    const { server } = this.#app;
    // Node leaves connections open that never carried a request, or whose answer was on its way when closing began
    const stopMs = Date.now() + stopGraceMs;
    const closeRest = setInterval(() => {
      if (this.#underWay === 0 || Date.now() > stopMs) server.closeAllConnections();
    }, 20);
    await this.#app.close();
    clearInterval(closeRest);
    await Promise.all([...this.#feeds.values()].map(({ feed }) => feed.stop()));
    await this.#leases.drain();
    await this.#gateways.flush(Date.now());
  }

  #routes(): FastifyInstance {
    const { tls } = this.#options;
    const app = Fastify({
      loggerInstance: this.#log,
      logController: new LogController({ disableRequestLogging: true }),
      keepAliveTimeout: keepAliveMs,
      requestTimeout: 30_000,
      return503OnClosing: false,
      frameworkErrors: (error, _request, reply) => this.#refuse(error, reply as FastifyReply),
      https: tls === undefined ? null : { cert: tls.cert, key: tls.key },
      ajv: { customOptions: { coerceTypes: true, useDefaults: true, removeAdditional: false } },
    }) as unknown as FastifyInstance;
    if (tls?.files !== undefined)
      this.#unfollowTls = followTls(tls.files, app.server as HttpsServer, (error) =>
        this.#log.error({ err: error }, "the renewed certificate can't be used; the old one stays"),
      );
    app.addHook("onRequest", async (_request, reply) => {
      this.#underWay++;
      // unlike onResponse, this comes for aborted calls as well
      reply.raw.once("close", () => void this.#underWay--);
      reply.header("cache-control", "no-store");
      if (!this.#stopping) return;
      reply.header("connection", "close");
      throw new SyncProblem("not_ready", "control is stopping; call again");
    });
    app.setNotFoundHandler(() => {
      throw new SyncProblem(
        "not_found",
        "the calls are /sync/v1/watch, /sync/v1/pages/{index}, /sync/v1/report, /sync/v1/leases, /sync/v1/usage, /sync/v1/tokens and /.well-known/tollgate/{environment}/jwks.json",
      );
    });
    app.setErrorHandler((error, _request, reply) => this.#refuse(error, reply));
    app.get<{ Querystring: WatchQuery }>(
      "/sync/v1/watch",
      { schema: { querystring: watchQuery }, attachValidation: true },
      (request, reply) => this.#watch(request, reply),
    );
    app.get<{ Querystring: PageQuery; Params: PageParams }>(
      "/sync/v1/pages/:index",
      { schema: { querystring: pageQuery, params: pageParams }, attachValidation: true },
      (request, reply) => this.#page(request, reply),
    );
    app.get<{ Querystring: ReportQuery }>(
      "/sync/v1/report",
      { schema: { querystring: reportQuery }, attachValidation: true },
      async (request, reply) => {
        const { grant } = await this.#authorize(request);
        await this.#contact(grant, request.query, request.query.applied);
        this.#metrics.answers.inc({ kind: "report" });
        return reply.code(204).send();
      },
    );
    app.addContentTypeParser(CONTENT_TYPE, { parseAs: "buffer", bodyLimit: MAX_FRAME_BYTES }, (_request, body, done) =>
      done(null, body),
    );
    this.#exchange(app, "leases", this.#leases);
    this.#exchange(app, "usage", this.#usage);
    const { issuer } = this.#options;
    if (issuer !== undefined) {
      this.#exchange(app, "tokens", new TokenCalls(issuer, this.#catalogs, this.#metrics, this.#refusals));
      app.get<{ Params: JwksParams }>(
        "/.well-known/tollgate/:environment/jwks.json",
        { schema: { params: jwksParams } },
        (request, reply) => this.#jwks(issuer, request.params.environment, reply),
      );
    }
    return app;
  }

  /** A call of lanes: one frame for one frame. */
  #exchange(app: FastifyInstance, kind: string, answerer: Pick<Leases | UsageCalls | TokenCalls, "answer">): void {
    // Who may not call is refused before a body is taken in.
    const onRequest = async (request: FastifyRequest): Promise<void> => void (await this.#authorize(request));
    app.post<{ Querystring: ExchangeQuery; Body: unknown }>(
      `/sync/v1/${kind}`,
      { onRequest, schema: { querystring: exchangeQuery }, attachValidation: true },
      async (request, reply) => {
        const { grant } = await this.#authorize(request);
        const { body } = request;
        if (!Buffer.isBuffer(body)) throw new SyncProblem("parameter_invalid", `send one frame as ${CONTENT_TYPE}`);
        const frame = await answerer.answer(
          body,
          request.query.gateway,
          grant,
          await this.#followed(grant.environment),
        );
        this.#count(kind, frame.length);
        if (this.#stopping) reply.header("connection", "close");
        return reply.type(CONTENT_TYPE).send(frame);
      },
    );
  }

  /** What is public of the signing keys: services verify internal tokens by it, without a gateway token. */
  async #jwks(issuer: Issuer, environment: string, reply: FastifyReply): Promise<FastifyReply> {
    const set = await issuer.jwks(environment);
    if (set === undefined) throw new SyncProblem("not_found", `environment "${environment}" issues no internal tokens`);
    this.#metrics.answers.inc({ kind: "jwks" });
    return reply.type("application/json").header("cache-control", "public, max-age=60").send(JSON.stringify(set));
  }

  /** Passes recalls on to the gateways that watch here, and keeps the others for a moment. */
  #recall(recalls: Recall[]): void {
    for (const gateway of this.#recalls.add(recalls, Date.now())) {
      if (!this.#polls.has(gateway)) continue;
      const own = this.#recalls.take(gateway);
      this.#metrics.recalls.inc(own.length);
      this.#polls.interrupt(gateway, ({ feed, grant }) => feed.recall(grant.view, own));
    }
  }

  /** What came for a gateway while it didn't watch. */
  #missedRecalls(feed: EnvironmentFeed, grant: Grant, gateway: string): Answer | undefined {
    const recalls = this.#recalls.take(gatewayKey(grant.environment, gatewayName(grant.group, gateway)));
    this.#metrics.recalls.inc(recalls.length);
    return recalls.length === 0 ? undefined : feed.recall(grant.view, recalls);
  }

  async #watch(request: FastifyRequest<{ Querystring: WatchQuery }>, reply: FastifyReply): Promise<FastifyReply> {
    const { grant, tokenDigest } = await this.#authorize(request);
    const { query } = request;
    const feed = await this.#feed(grant.environment);
    await this.#contact(grant, query, query.applied ?? "0");
    const epoch = epochOf(query.epoch);
    const version = BigInt(query.version);
    const now = await feed.catchUp(grant.view, epoch, version);
    if (now !== undefined) return this.#send(reply, now);
    const recalled = this.#missedRecalls(feed, grant, query.gateway);
    if (recalled !== undefined) return this.#send(reply, recalled);
    if (query.waitMs === 0 || this.#stopping) return this.#send(reply, feed.heartbeat(grant.view));
    const poll = this.#polls.park({
      feed,
      tokenDigest,
      gateway: gatewayName(grant.group, query.gateway),
      grant,
      epoch,
      version,
      deadlineMs: Date.now() + query.waitMs,
    });
    reply.raw.once("close", () => poll.drop());
    const answer = await poll.answer;
    if (answer === undefined) {
      if (!this.#polls.has(gatewayKey(grant.environment, gatewayName(grant.group, query.gateway))))
        this.#gateways.release(grant, query.gateway, Date.now());
      return reply.hijack();
    }
    if (answer.wokenMs !== undefined) this.#metrics.wakeSeconds.observe((performance.now() - answer.wokenMs) / 1000);
    return this.#send(reply, answer);
  }

  async #page(
    request: FastifyRequest<{ Querystring: PageQuery; Params: PageParams }>,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { grant } = await this.#authorize(request);
    const feed = await this.#feed(grant.environment);
    const [header, payload] = feed.page(
      grant.view,
      epochOf(request.query.epoch),
      BigInt(request.query.version),
      request.params.index,
    );
    const bytes = header.length + payload.length;
    this.#count("page", bytes);
    return reply
      .type(CONTENT_TYPE)
      .header("content-length", bytes)
      .send(Readable.from([header, payload]));
  }

  #send(reply: FastifyReply, answer: Answer): FastifyReply {
    this.#count(answer.kind, answer.bytes.length);
    if (this.#stopping) reply.header("connection", "close");
    return reply.type(CONTENT_TYPE).send(answer.bytes);
  }

  #count(kind: string, bytes: number): void {
    this.#metrics.answers.inc({ kind });
    this.#metrics.answerBytes.inc({ kind }, bytes);
  }

  /** First who calls, then for which environment, then whether the parameters are right. */
  async #authorize(request: FastifyRequest): Promise<{ grant: Grant; tokenDigest: string }> {
    const tokenDigest = Tokens.digestOf(request.headers.authorization);
    if (tokenDigest === undefined)
      throw new SyncProblem("token_unknown", "send `authorization: Bearer <gateway token>`");
    const grant = await this.#tokens.grant(tokenDigest);
    if (grant === undefined) throw new SyncProblem("token_unknown", "the token is unknown, has expired or was deleted");
    const { environment } = request.query as { environment?: string };
    if (environment !== undefined && environment !== grant.environment)
      throw new SyncProblem("token_of_other_environment", `the token is of another environment than "${environment}"`);
    if (request.validationError !== undefined)
      throw new SyncProblem("parameter_invalid", request.validationError.message);
    return { grant, tokenDigest };
  }

  async #contact(grant: Grant, query: ReportQuery | WatchQuery, applied: string): Promise<void> {
    const nowMs = Date.now();
    await this.#gateways.admit(grant, query.gateway, nowMs);
    this.#gateways.contact(
      grant,
      query.gateway,
      { version: BigInt(query.version), applied: BigInt(applied), workers: query.workers },
      nowMs,
    );
  }

  /** The environment's feed, started. */
  async #feed(environment: string): Promise<EnvironmentFeed> {
    const entry = this.#entry(environment);
    if (!entry.feed.ready) {
      entry.starting ??= entry.feed.start().finally(() => {
        entry.starting = undefined;
      });
      await entry.starting;
    }
    return entry.feed;
  }

  /** The environment's feed, perhaps before its snapshot is encoded: lanes mustn't starve for that after a restart. */
  async #followed(environment: string): Promise<EnvironmentFeed> {
    const { feed, starting } = this.#entry(environment);
    if (!feed.ready && starting === undefined) this.#background("encoding a snapshot", this.#feed(environment));
    await feed.follow();
    return feed;
  }

  #entry(environment: string): FeedEntry {
    let entry = this.#feeds.get(environment);
    if (entry === undefined)
      this.#feeds.set(environment, (entry = { feed: this.#makeFeed(environment), starting: undefined }));
    return entry;
  }

  #makeFeed(environment: string): EnvironmentFeed {
    const feed: EnvironmentFeed = new EnvironmentFeed(
      this.#options.source,
      environment,
      {
        moved: () => this.#polls.moved(feed),
        built: (base, tookMs) => {
          this.#metrics.baseSeconds.observe({ environment }, tookMs / 1000);
          this.#log.info(
            { environment, version: base.version.toString(), bytes: base.sharedBytes, tookMs: Math.round(tookMs) },
            "snapshot encoded",
          );
        },
        encoded: (_delta, tookMs) => this.#metrics.deltaSeconds.observe({ environment }, tookMs / 1000),
      },
      this.#options.feed ?? feedBounds,
    );
    return feed;
  }

  #sweep(): void {
    const nowMs = Date.now();
    this.#polls.sweep(nowMs);
    this.#gateways.sweep(nowMs);
    this.#recalls.sweep(nowMs);
    const due = (job: Job): boolean => {
      if (nowMs - this.#doneMs[job] < everyMs[job]) return false;
      this.#doneMs[job] = nowMs;
      return true;
    };
    if (due("tokens")) for (const digest of this.#polls.tokens()) void this.#askToken(digest);
    if (due("tidy")) for (const { feed } of this.#feeds.values()) this.#background("renewing a snapshot", feed.tidy());
    if (due("prune")) this.#background("forgetting old windows", this.#options.counters.prune());
    if (due("recheck")) for (const feed of this.#polls.feeds()) this.#background("looking for changes", feed.recheck());
  }

  /** Polls of a token that is gone end. When the store doesn't answer they stay: there is no news for them either. */
  async #askToken(digest: string): Promise<void> {
    try {
      this.#polls.granted(digest, await this.#tokens.ask(digest));
    } catch (error) {
      this.#log.warn({ err: error }, "a gateway token could not be checked; it is tried again");
    }
  }

  #background(what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!this.#stopping) this.#log.warn({ err: error }, `${what} failed; it is tried again`);
    });
  }

  #refuse(error: unknown, reply: FastifyReply): FastifyReply {
    const problem = problemOf(error);
    if (problem.status >= 500 && problem !== error) this.#log.error({ err: error }, "a sync call failed");
    this.#metrics.problems.inc({ code: problem.code });
    if (problem.status === 503) reply.header("retry-after", "1");
    if (problem.status === 401) reply.header("www-authenticate", "Bearer");
    return reply
      .code(problem.status)
      .type("application/problem+json")
      .send(Buffer.from(maskSecrets(JSON.stringify(problem.body()))));
  }

  #readings() {
    const nowMs = Date.now();
    return [...this.#feeds.values()].map(({ feed }) => {
      const version = feed.state?.version ?? 0n;
      const { connected, leastApplied } = this.#gateways.counts(feed.environment, nowMs);
      return {
        environment: feed.environment,
        version: Number(version),
        baseVersion: Number(feed.base?.version ?? 0n),
        baseBytes: feed.base?.sharedBytes ?? 0,
        gateways: connected,
        lag: leastApplied === undefined || leastApplied > version ? 0 : Number(version - leastApplied),
      };
    });
  }
}

function problemOf(error: unknown): SyncProblem {
  if (error instanceof SyncProblem) return error;
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  // Fastify's own refusals, such as a URL that can't be decoded
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new SyncProblem("parameter_invalid", message ?? "the request is not valid", { cause: error });
  // what the codec and the code itself throw; all else comes from the store
  const own = error instanceof RangeError || error instanceof TypeError;
  return own
    ? new SyncProblem("internal", "control could not answer; its log says why", { cause: error })
    : new SyncProblem("not_ready", "the store doesn't answer; try again soon", { cause: error });
}
