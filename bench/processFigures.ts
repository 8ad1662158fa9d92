/** What a process has spent and holds, as Linux tells. */
import { readFileSync } from "node:fs";

/** Linux gives process times in hundredths of a second to user space, whatever the kernel's own tick is. */
const microsPerTick = 10_000;

/** User and system time spent since the process's start, in microseconds. */
export function cpuMicrosOf(pid: number): number {
  // The second field, the command's name, may hold spaces: fields are counted from its closing parenthesis.
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * microsPerTick;
}

export function residentBytesOf(pid: number): number {
  return statusBytes(pid, "VmRSS");
}

/** The most that was ever resident since the start, or since the peak was reset. */
export function peakResidentBytesOf(pid: number): number {
  return statusBytes(pid, "VmHWM");
}

function statusBytes(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (!match) throw new Error(`/proc/${pid}/status has no ${field}`);
  return Number(match[1]) * 1024;
}
