/** The certificate of the sync port, from PEM files that may be replaced while it runs. */
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import type { Server } from "node:https";

export interface TlsFiles {
  certFile: string;
  keyFile: string;
}

export interface Tls {
  /** PEM */
  cert: Buffer;
  key: Buffer;
  /** where they came from: looked at again for renewed ones */
  files?: TlsFiles;
}

const everyMs = 30_000;

/** Uses renewed files for new connections; a pair that doesn't fit is told to `failed`, and the old one stays. Gives the function that ends it. */
export function followTls(
  files: TlsFiles,
  server: Server,
  failed: (error: unknown) => void,
  lookEveryMs: number = everyMs,
): () => void {
  const renew = (): void => {
    try {
      server.setSecureContext({ cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) });
    } catch (error) {
      failed(error);
    }
  };
  const paths = [files.certFile, files.keyFile];
  for (const path of paths) watchFile(path, { interval: lookEveryMs, persistent: false }, renew);
  return () => {
    for (const path of paths) unwatchFile(path, renew);
  };
}
