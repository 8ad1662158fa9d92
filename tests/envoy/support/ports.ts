import { createServer } from "node:net";

/**
 * Below the ports that systems give to outgoing connections. Each process has a stretch of its own, and goes round in it: two Envoys that are
 * told the same port would share it without a word.
 */
const lowest = 12_000;
const stretches = 400;
const stretchPorts = 50;
const start = lowest + (process.pid % stretches) * stretchPorts;
let turn = 0;

/** Ports that are free now, and aren't given to anybody else soon. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let tries = 0; found.length < count; tries++) {
    if (tries === 2 * stretchPorts) throw new Error(`ports ${start} to ${start + stretchPorts - 1} are all in use`);
    const port = start + (turn++ % stretchPorts);
    if (!found.includes(port) && (await isFree(port))) found.push(port);
  }
  return found;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
