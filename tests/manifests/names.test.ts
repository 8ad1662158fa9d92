/** Names of Kubernetes objects: taken by Kubernetes, unique and the same each time, whatever ids and hosts hold. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { hostFault } from "../../control/domain/hostsAndPaths.ts";
import { lowerIdPattern } from "../../control/domain/schema.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import { manifestFiles } from "../../tools/manifests/files.ts";
import { ManifestError } from "../../tools/manifests/model.ts";
import { hostName, isObjectName, objectName, slug, subsetName } from "../../tools/manifests/routing/names.ts";
import { manifestOptions } from "./support/options.ts";

/** RFC 1123, written anew here. */
const isLabel = (text: string) => text.length <= 63 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text);
const isSubdomain = (text: string) => text.length <= 253 && text.split(".").every(isLabel);

const characters = (allowed: string, most: number) =>
  fc.array(fc.constantFrom(...allowed), { minLength: 0, maxLength: most }).map((list) => list.join(""));
const id = fc
  .oneof(characters("ab", 62), characters("a1._-", 62))
  .map((rest) => `a${rest}`)
  .filter((text) => new RegExp(lowerIdPattern).test(text));
const hostLabel = fc
  .oneof({ weight: 3, arbitrary: characters("ab", 62) }, characters("a_-", 62))
  .map((middle) => `a${middle.slice(0, 61)}b`);
const host = fc
  .oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.constantFrom("", "*."), fc.array(hostLabel, { minLength: 1, maxLength: 5 }))
        .map(([wild, labels]) => `${wild}${labels.join(".")}`.slice(0, 253).replace(/[.-]+$/, "")),
    },
    fc.constantFrom("*", "[::1]", "[2001:db8::1]", "_a.example.com", "*.a_b.example"),
  )
  .filter((text) => hostFault(text) === undefined);

test("a host's name fits, differs from other hosts' and stays the same", () => {
  fc.assert(
    fc.property(fc.uniqueArray(host, { maxLength: 20 }), (hosts) => {
      const names = hosts.map(hostName);
      for (const name of names) assert.ok(isSubdomain(name) && isObjectName("VirtualService", name), name);
      assert.equal(new Set(names).size, names.length);
      assert.deepEqual(hosts.map(hostName), names);
    }),
    { numRuns: 500 },
  );
  assert.equal(hostName("api.example.com"), "tollgate-host--api.example.com", "what fits is kept");
  assert.equal(
    hostName("_a.example.com"),
    "tollgate-host-short--a-example-com-71cc0b6d",
    "what doesn't is the same in every version",
  );
});

test("an API's names fit, and differ from other APIs'", () => {
  fc.assert(
    fc.property(fc.uniqueArray(id, { maxLength: 20 }), id, (ids, version) => {
      const names = ids.map((one) => objectName({ id: one }, 12));
      for (const name of names) assert.ok(isLabel(name), name);
      assert.equal(new Set(names).size, names.length);
      for (const one of ids) assert.ok(isLabel(subsetName({ id: one }, slug(version, 32))), one);
    }),
    { numRuns: 500 },
  );
});

test("every object of every folder has a name that Kubernetes takes", () => {
  const routable = host.filter((text) => text === "*" || /^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+$/.test(text));
  const api = fc.record({
    id,
    hosts: fc.uniqueArray(routable, { minLength: 1, maxLength: 3 }),
    service: characters("a-", 60),
    mode: fc.constantFrom("key" as const, "mtls" as const),
    tls: fc.boolean(),
  });
  let made = 0;
  fc.assert(
    fc.property(
      fc.uniqueArray(api, { minLength: 1, maxLength: 4, selector: (one) => one.id }),
      fc.constantFrom("istio" as const, "gateway-api" as const),
      fc.constantFrom("sidecar" as const, "waypoint" as const),
      (apis, routing, meshProxy) => {
        const input: FileInput = {
          version: 1,
          internalToken: { enabled: true, issuer: "https://issuer.example", audiences: ["a"] },
          apis: apis.map(
            ({ id: name, hosts, service, mode, tls }, index): ApiInput => ({
              id: name,
              hosts,
              paths: [`/${index}`],
              upstream: { service: `s${service}s.n${service}n.svc.cluster.local`, port: 80 },
              auth: { mode },
              ...(mode === "mtls" || !tls ? {} : { traffic: { tls: { credentialName: "certificate" } } }),
            }),
          ),
        };
        const options = manifestOptions({
          routing,
          meshProxy,
          ...(routing === "gateway-api" ? { gateway: { name: "g", namespace: "n", selector: { a: "b" } } } : {}),
        });
        let files;
        try {
          files = manifestFiles(input, options);
        } catch (error) {
          if (error instanceof ManifestError && /traffic\.tls|upstream/.test(error.message)) return;
          throw error;
        }
        made++;
        for (const { path, documents } of files) {
          for (const {
            object: { kind, metadata, ...rest },
          } of documents) {
            const spec = (rest as { spec?: unknown }).spec as {
              listeners: { name: string }[];
              parentRefs: { sectionName: string }[];
            };
            assert.ok(
              kind === "Service" || kind === "Namespace" ? isLabel(metadata.name) : isSubdomain(metadata.name),
              `${path}: ${kind} ${metadata.name}`,
            );
            if (metadata.namespace !== undefined) assert.ok(isLabel(metadata.namespace));
            if (kind === "Gateway" && routing === "gateway-api")
              for (const { name } of spec.listeners) assert.ok(isSubdomain(name), name);
            if (kind === "HTTPRoute")
              for (const { sectionName } of spec.parentRefs) assert.ok(isSubdomain(sectionName), sectionName);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(made > 50, `${made} folders were made`);
});

test("waypoints of services whose names and namespaces run together differ", () => {
  const api = (name: string, service: string): ApiInput => ({
    id: name,
    hosts: [`${name}.example`],
    paths: ["/"],
    upstream: { service, port: 80 },
    auth: { mode: "mtls" },
  });
  const files = manifestFiles(
    { version: 1, apis: [api("one", "b-c.a.svc.cluster.local"), api("two", "c.a-b.svc.cluster.local")] },
    manifestOptions({ meshProxy: "waypoint" }),
  );
  const names = files
    .flatMap(({ documents }) => documents)
    .filter(({ object }) => object.kind === "EnvoyFilter" && object.metadata.namespace === "istio-system")
    .map(({ object }) => object.metadata.name);
  assert.deepEqual(names, ["tollgate-a.b-c-control", "tollgate-a-b.c-control"]);
});

test("a gateway whose Service would have too long a name is refused", () => {
  const gateway = { name: "g".repeat(56), namespace: "n", selector: { a: "b" } };
  assert.throws(() => manifestFiles({ version: 1 }, manifestOptions({ gateway })), /more than 55 characters/);
});
