/** Checks on what only time tells: clocks and certificates. */
import { describe, it } from "node:test";
import { certificates } from "../../tools/doctor/checks/certificates.ts";
import { clocks } from "../../tools/doctor/checks/clocks.ts";
import { recorded, says, type Recorded } from "./support.ts";

describe("clocks", () => {
  const off = (gatewayMs: number, controlMs: number): Recorded => {
    const evidence = recorded("healthy");
    evidence.envoy.clock = { hereMs: 1_000_000, theirMs: 1_000_000 + gatewayMs };
    evidence.control.clock = { hereMs: 1_000_000, theirMs: 1_000_000 + controlMs };
    return evidence;
  };
  it("is content with the recorded ones", () => says(clocks, recorded("healthy"), "ok", /agree/));
  it("names whose is off, which way and by how much", () => {
    says(clocks, off(10_000, 0), "warning", /^The gateway's clock is 10 s ahead of/);
    says(clocks, off(0, -10_000), "warning", /^Control's clock is 10 s behind/);
    says(clocks, off(-3_600_000, 0), "fault", /^The gateway's clock is 60 min behind/);
  });
  it("finds that it is this machine's when the others agree", () =>
    says(
      clocks,
      off(-40_000, -41_000),
      "warning",
      /^Gateway and control agree; this machine's clock is 40 s ahead of both/,
    ));
  it("judges one alone", () => {
    const evidence = off(60_000, 0);
    says(
      clocks,
      { ...evidence, control: { url: "", unreached: "", notAsked: true } },
      "fault",
      /^The gateway's clock is 60 s ahead/,
    );
  });
  it("says when nobody told the time", () =>
    says(
      clocks,
      { ...recorded("healthy"), envoy: { url: "", unreached: "x" }, control: { url: "", unreached: "x" } },
      "skipped",
      /Nobody/,
    ));
});

describe("certificates", () => {
  const living = (fromMs: number, untilMs: number): Recorded => {
    const evidence = recorded("healthy");
    const at = (ms: number): string => new Date(evidence.takenMs + ms).toISOString();
    evidence.envoy.certs = {
      certificates: [
        {
          ca_cert: [],
          cert_chain: [
            {
              subject_alt_names: [{ uri: "spiffe://cluster.local/ns/istio-system/sa/gateway" }],
              valid_from: at(fromMs),
              expiration_time: at(untilMs),
            },
          ],
        },
      ],
    };
    return evidence;
  };
  const hourMs = 3_600_000;
  it("is content without any, and in the middle of one's life", () => {
    says(certificates, recorded("healthy"), "ok", /no certificates/);
    says(certificates, living(-12 * hourMs, 12 * hourMs), "ok", /1 certificates are valid/);
  });
  it("finds expired, early and ending ones", () => {
    says(certificates, living(-25 * hourMs, -hourMs), "fault", /spiffe:\S+ expired at/);
    says(certificates, living(hourMs, 24 * hourMs), "fault", /isn't valid before/);
    says(certificates, living(-23 * hourMs, hourMs), "warning", /hasn't been renewed/);
  });
});
