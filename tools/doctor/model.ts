/** What a check says. Nothing here asks anybody: checks judge evidence that was gathered before. */
import type { Evidence } from "./evidence.ts";

/** In the order in which people should read them. `skipped`: what it takes to judge was not there. */
export const statuses = ["fault", "warning", "ok", "skipped"] as const;
export type Status = (typeof statuses)[number];

export interface Finding {
  /** the check's id */
  id: string;
  status: Status;
  /** what is so */
  words: string;
  /** what to do about it; there for faults and warnings */
  remedy?: string;
}

/** One thing that can be wrong. It gives one finding, or one for each place where something is wrong. */
export interface Check {
  id: string;
  look(evidence: Evidence): Said[];
}

/** A finding before its check's id is put to it. */
export type Said = Omit<Finding, "id">;

export const ok = (words: string): Said => ({ status: "ok", words });
export const skipped = (words: string): Said => ({ status: "skipped", words });
export const warning = (words: string, remedy: string): Said => ({ status: "warning", words, remedy });
export const fault = (words: string, remedy: string): Said => ({ status: "fault", words, remedy });
