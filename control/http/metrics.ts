import { Counter, Gauge, Histogram } from "prom-client";
import type { Services } from "./context.ts";
import { gatewayLag, gatewayLostMs } from "./routes/gateways/index.ts";
import type { App } from "./typeProvider.ts";

/** Counts and times requests by route. Gives the function that reads versions and gateways from the store, for each scrape. */
export function installMetrics(app: App, services: Services): () => Promise<void> {
  const { store, registry } = services;
  const requests = new Counter({
    name: "tollgate_http_requests_total",
    help: "Requests to the admin API.",
    labelNames: ["method", "route", "status"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "tollgate_http_request_duration_seconds",
    help: "Time from a request's arrival to the end of its answer.",
    labelNames: ["method", "route"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    requests.inc({ method: request.method, route, status: String(reply.statusCode) });
    seconds.observe({ method: request.method, route }, reply.elapsedTime / 1000);
  });

  const version = new Gauge({
    name: "tollgate_environment_version",
    help: "The newest version of an environment.",
    labelNames: ["environment"],
    registers: [registry],
  });
  const gateways = new Gauge({
    name: "tollgate_gateways",
    help: "Gateways by state: connected or lost.",
    labelNames: ["environment", "state"],
    registers: [registry],
  });
  const lag = new Gauge({
    name: "tollgate_gateway_lag_versions_max",
    help: "How far the connected gateway that is furthest behind is behind.",
    labelNames: ["environment"],
    registers: [registry],
  });
  const waiting = new Gauge({
    name: "tollgate_usage_waiting_entries",
    help: "Entries of usage that have arrived and aren't counted yet; up to half a minute's of them is normal.",
    registers: [registry],
  });
  return async () => {
    waiting.set(await services.usage.waiting());
    for (const environment of await store.environments()) {
      const all = await store.gateways(environment.id);
      const connected = all.filter((gateway) => services.nowMs() - gateway.lastContactMs < gatewayLostMs);
      version.set({ environment: environment.id }, environment.version);
      gateways.set({ environment: environment.id, state: "connected" }, connected.length);
      gateways.set({ environment: environment.id, state: "lost" }, all.length - connected.length);
      lag.set(
        { environment: environment.id },
        connected.reduce((most, gateway) => Math.max(most, gatewayLag(gateway, environment.version)), 0),
      );
    }
  };
}
