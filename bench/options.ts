/** The flags of `npm run bench`. */
import { parseArgs } from "node:util";

export const parts = ["load", "limits", "leases", "memory", "cold-start", "revocation"] as const;
export type Part = (typeof parts)[number];

export interface BenchOptions {
  /** of one run of one system */
  seconds: number;
  /** rounds in which every system is measured beside bare */
  pairs: number;
  connections: number;
  /** parts of the scenarios' names; empty: all */
  only: string[];
  /** empty: all, or the load alone when `only` is given */
  parts: Part[];
  quick: boolean;
}

/** Throws on an unknown flag or a number that is none. */
export function readOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: "string" },
      pairs: { type: "string" },
      connections: { type: "string" },
      only: { type: "string", multiple: true },
      part: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
    },
  });
  return {
    seconds: wholeNumber("seconds", values.seconds, values.quick ? 1 : 3),
    pairs: wholeNumber("pairs", values.pairs, values.quick ? 3 : 10),
    connections: wholeNumber("connections", values.connections, 32),
    only: values.only ?? [],
    parts: (values.part ?? []).map(partOf),
    quick: values.quick,
  };
}

function partOf(text: string): Part {
  const part = parts.find((one) => one === text);
  if (!part) throw new Error(`--part wants one of ${parts.join(", ")}, not ${text}`);
  return part;
}

function wholeNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`--${name} wants a whole number from 1 on, not ${text}`);
  return Number(text);
}
