/** Makes a finding small: fewer APIs, fewer hosts, paths and methods, a plainer request, as long as it stays one. */
import { ask, type Finding } from "./differential.ts";
import { soundApis, type RandomApi } from "./environments.ts";
import type { GatewaysOptions } from "./gateways.ts";
import { faultOf } from "./verdict.ts";
import type { WireRequest } from "./requests.ts";

const roundsMax = 12;
const candidatesMax = 40;

interface Case {
  apis: RandomApi[];
  request: WireRequest;
}

/** The smallest that was found; each round starts one Envoy with a gateway for each candidate. */
export async function shrink(finding: Finding, gateways: GatewaysOptions = {}): Promise<Finding> {
  let best = finding;
  for (let round = 0; round < roundsMax; round++) {
    const candidates = smaller(best)
      .filter(({ apis }) => apis.length > 0 && soundApis(apis).length === apis.length)
      .slice(0, candidatesMax);
    if (candidates.length === 0) return best;
    const answers = await ask(
      candidates.map(({ apis, request }) => ({ apis, requests: [request] })),
      gateways,
    );
    const found = candidates
      .map((one, index) => ({
        ...one,
        answer: answers[index]![0]!,
        fault: faultOf(one.request, answers[index]![0]!, one.apis),
      }))
      .find(({ fault }) => fault !== undefined);
    if (found === undefined) return best;
    best = { ...found, fault: found.fault! };
  }
  return best;
}

/** The boldest first. */
function smaller({ apis, request, fault }: Finding): Case[] {
  const named = apis.filter(({ id }) => new RegExp(`${id}(?![0-9b])`).test(fault));
  const cases: Case[] = [];
  if (named.length > 0 && named.length < apis.length) cases.push({ apis: named, request });
  if (apis.length > 4)
    for (const half of [apis.slice(0, apis.length / 2), apis.slice(apis.length / 2)])
      cases.push({ apis: apis.filter((api) => named.includes(api) || half.includes(api)), request });
  apis.forEach((_, index) => cases.push({ apis: apis.filter((_api, other) => other !== index), request }));
  apis.forEach((api, index) => {
    const changed = (more: Partial<RandomApi>): void =>
      void cases.push({ apis: apis.map((one, other) => (other === index ? { ...one, ...more } : one)), request });
    for (const field of ["hosts", "paths"] as const)
      if (api[field].length > 1) for (const value of api[field]) changed({ [field]: [value] });
    if (api.methods.length > 0) changed({ methods: [] });
    if (api.cors) changed({ cors: false });
    if (api.keyed) changed({ keyed: false });
  });
  request.headers.forEach((_, index) =>
    cases.push({ apis, request: { ...request, headers: request.headers.filter((_header, other) => other !== index) } }),
  );
  if (request.hosts.length > 1) cases.push({ apis, request: { ...request, hosts: request.hosts.slice(0, 1) } });
  if (request.protocol === "http2") cases.push({ apis, request: { ...request, protocol: "http1" } });
  if (request.method !== "GET") cases.push({ apis, request: { ...request, method: "GET" } });
  return cases.filter((one) => JSON.stringify([one.apis, one.request]) !== JSON.stringify([apis, request]));
}
