/** The differential test itself: random environments and requests against a real Envoy, and what was found. */
import { sendAll, type Answer } from "./clients.ts";
import { fileOf, randomApis, specOf, type RandomApi } from "./environments.ts";
import { startGateways, type GatewaysOptions } from "./gateways.ts";
import { Random } from "./random.ts";
import { randomRequest, requestText, type WireRequest } from "./requests.ts";
import { startUpstreams } from "./upstreams.ts";
import { faultOf } from "./verdict.ts";

export interface Finding {
  apis: RandomApi[];
  request: WireRequest;
  answer: Answer;
  fault: string;
}

export interface Report {
  sent: number;
  /** requests that an upstream answered, and refusals, by the filter's reason or Envoy's status */
  outcomes: Map<string, number>;
  /** APIs whose upstream answered at least one request, of all APIs */
  apisReached: number;
  apis: number;
  findings: Finding[];
}

export interface DifferentialOptions {
  seed: string;
  requests: number;
  /** the gateways' Envoy, and changes to its configuration */
  gateways?: GatewaysOptions;
  /** is told after each Envoy how many requests were sent so far */
  onProgress?: (sent: number, findings: number) => void;
  /** ends the run with so many findings; default 20 */
  findingsMax?: number;
}

const requestsEach = 500;
const environmentsEach = 10;

export async function runDifferential({
  seed,
  requests,
  gateways = {},
  onProgress,
  findingsMax = 20,
}: DifferentialOptions): Promise<Report> {
  const report = emptyReport();
  const environments = Math.ceil(requests / requestsEach);
  for (let first = 0; first < environments && report.findings.length < findingsMax; first += environmentsEach) {
    const count = Math.min(environmentsEach, environments - first);
    // The seed and its own number make an environment, however many there are.
    const randoms = Array.from({ length: count }, (_, index) => new Random(`${seed}/${first + index}`));
    const apis = randoms.map((random, index) => randomApis(random, `e${index}-a`));
    const jobs = apis.map((some, index) => ({
      apis: some,
      requests: Array.from({ length: requestsEach }, () => randomRequest(randoms[index]!, some)),
    }));
    const answers = await ask(jobs, gateways);
    jobs.forEach((job, index) => addTo(report, job.apis, job.requests, answers[index]!));
    onProgress?.(report.sent, report.findings.length);
  }
  return report;
}

export function emptyReport(): Report {
  return { sent: 0, outcomes: new Map(), apisReached: 0, apis: 0, findings: [] };
}

/** Counts what became of one environment's requests, and keeps what is wrong. */
export function addTo(
  report: Report,
  apis: RandomApi[],
  requests: readonly WireRequest[],
  answers: readonly Answer[],
): void {
  const reached = new Set<string>();
  requests.forEach((request, index) => {
    const answer = answers[index]!;
    const outcome =
      answer.reached !== undefined
        ? "served"
        : (answer.reason ?? `Envoy's ${answer.status === 0 ? "reset" : answer.status}`);
    report.outcomes.set(outcome, (report.outcomes.get(outcome) ?? 0) + 1);
    if (answer.reached !== undefined) reached.add(answer.reached);
    const fault = faultOf(request, answer, apis);
    if (fault !== undefined) report.findings.push({ apis, request, answer, fault });
  });
  report.sent += requests.length;
  report.apisReached += reached.size;
  report.apis += apis.length;
}

/** The answers to each environment's requests, from one Envoy. */
export async function ask(
  jobs: readonly { apis: readonly RandomApi[]; requests: readonly WireRequest[] }[],
  options: GatewaysOptions = {},
): Promise<Answer[][]> {
  const names = new Set(jobs.flatMap(({ apis }) => apis.map(({ id }) => id)));
  const upstreams = await startUpstreams([...names]);
  try {
    const specs = jobs.map(({ apis }, index) =>
      specOf(fileOf(apis, `e${index}`, (id) => ({ service: "127.0.0.1", port: upstreams.port(id) }))),
    );
    const gateways = await startGateways(specs, options);
    try {
      const answers: Answer[][] = [];
      // One after the other: what is open at the same time stays few.
      for (const [index, { requests }] of jobs.entries()) answers.push(await sendAll(gateways.ports[index]!, requests));
      return answers;
    } finally {
      await gateways.stop();
    }
  } finally {
    await upstreams.close();
  }
}

export function reportText({ sent, outcomes, apisReached, apis, findings }: Report): string {
  const parts = [...outcomes].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${count}`);
  return `${sent} requests: ${parts.join(", ")}. ${apisReached} of ${apis} APIs reached. ${findings.length} findings.`;
}

export function findingText({ apis, request, answer, fault }: Finding): string {
  const api = ({ id, hosts, paths, methods, keyed, cors }: RandomApi): string =>
    `  {id: ${id}, hosts: ${JSON.stringify(hosts)}, paths: ${JSON.stringify(paths)}, methods: ${JSON.stringify(methods)}, auth: ${keyed ? "key" : "none"}${cors ? ", cors" : ""}}`;
  return [`${fault}`, requestText(request), `  → ${JSON.stringify(answer)}`, "APIs:", ...apis.map(api)].join("\n");
}
