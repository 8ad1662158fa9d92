import { createServer, type AddressInfo } from "node:net";
import { StartError } from "../control/config.ts";
import { portRoles, type PortRole, type StackPorts } from "./settings.ts";

/** Checks that every port is free, and picks one for each that is 0. Throws a StartError that names the taken ports and their variables. */
export async function claimPorts(wanted: StackPorts, host: string): Promise<StackPorts> {
  const problems: string[] = [];
  const ports = { ...wanted };
  const held: (() => Promise<void>)[] = [];
  const holders = new Map<number, PortRole>();
  try {
    for (const role of Object.keys(portRoles) as PortRole[]) {
      const { purpose, variable } = portRoles[role];
      const twin = wanted[role] === 0 ? undefined : holders.get(wanted[role]);
      if (twin !== undefined) {
        problems.push(
          `Port ${wanted[role]} is meant for ${portRoles[twin].purpose} (${portRoles[twin].variable}) and for ${purpose} (${variable}).`,
        );
        continue;
      }
      try {
        const holder = await hold(wanted[role], host);
        ports[role] = holder.port;
        holders.set(holder.port, role);
        held.push(holder.release);
      } catch (error) {
        const reason =
          (error as NodeJS.ErrnoException).code === "EADDRINUSE"
            ? "is in use"
            : `can't be used (${(error as Error).message})`;
        problems.push(`Port ${wanted[role]}, for ${purpose}, ${reason}: set ${variable} to another.`);
      }
    }
  } finally {
    await Promise.all(held.map((release) => release()));
  }
  if (problems.length > 0)
    throw new StartError(
      problems.join("\n"),
      "Or stop what listens there; `ss -ltnp` (Linux) and `lsof -iTCP -sTCP:LISTEN` show what does.",
    );
  return ports;
}

function hold(port: number, host: string): Promise<{ port: number; release: () => Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host, exclusive: true }, () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        release: () => new Promise((released) => server.close(() => released())),
      });
    });
  });
}
