import { createServer } from "node:net";

/**
 * Below the ports that systems give to outgoing connections. Each process has a stretch of its own, and goes round in it: two Envoys that are
 * told the same port would share it without a word. Whoever listens on a stretch's first port has the stretch.
 */
const lowest = 12_000;
const stretches = 400;
const stretchPorts = 50;
let stretch: Promise<number> | undefined;
let turn = 0;

/** Ports that are free now, and aren't given to anybody else soon. */
export async function freePorts(count: number): Promise<number[]> {
  const start = await (stretch ??= takeStretch());
  const found: number[] = [];
  for (let tries = 0; found.length < count; tries++) {
    if (tries === 2 * stretchPorts) throw new Error(`ports ${start} to ${start + stretchPorts - 1} are all in use`);
    const port = start + 1 + (turn++ % (stretchPorts - 1));
    if (!found.includes(port) && (await isFree(port))) found.push(port);
  }
  return found;
}

/** One such port. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port!;
}

/** Keeps the stretch's first port until the process ends. */
async function takeStretch(): Promise<number> {
  for (let i = 0; i < stretches; i++) {
    const start = lowest + ((process.pid + i) % stretches) * stretchPorts;
    if (await listens(start, true)) return start;
  }
  throw new Error(`ports ${lowest} to ${lowest + stretches * stretchPorts - 1} are all in use`);
}

function isFree(port: number): Promise<boolean> {
  return listens(port, false);
}

function listens(port: number, keeps: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => {
      if (!keeps) return void server.close(() => resolve(true));
      server.unref();
      resolve(true);
    });
  });
}
