/** A file with faults of structure still has sound records: what is wrong with their meaning is said in the same go. */
import { fillEnvironment } from "./defaults.ts";
import type { Problem } from "./problem.ts";
import type { FileInput } from "./schema.ts";
import { checkEnvironment, type KnownIds } from "./semantics.ts";

const sections = ["apis", "tiers", "consumers", "keys"] as const;
type Section = (typeof sections)[number];

/**
 * The problems of meaning in the records that no problem of structure touches. `references`: whether they have to be within the file, or may
 * be stored already.
 */
export function soundRecordProblems(
  value: unknown,
  structural: readonly Problem[],
  references: "file" | "any",
): Problem[] {
  if (typeof value !== "object" || value === null) return [];
  const faulty = new Set(structural.map(({ path }) => `${path[0]} ${path[1]}`));
  const places = new Map<Section, number[]>();
  const ids = new Map<Section, Set<string>>();
  const input: Record<string, unknown> = { version: 1 };
  for (const section of sections) {
    const records = (value as Record<string, unknown>)[section];
    if (!Array.isArray(records)) continue;
    const sound = records.flatMap((_record, index) => (faulty.has(`${section} ${index}`) ? [] : [index]));
    places.set(section, sound);
    input[section] = sound.map((index) => records[index] as unknown);
    ids.set(
      section,
      new Set(
        records
          .map((record: unknown) => (record as { id?: unknown } | null)?.id)
          .filter((id) => typeof id === "string"),
      ),
    );
  }
  const known = (section: Section): KnownIds["apis"] => {
    const named = ids.get(section) ?? new Set();
    return { has: (id) => references === "any" || named.has(id), ids: () => named };
  };
  const around = { ids: { apis: known("apis"), tiers: known("tiers"), consumers: known("consumers") } };
  return checkEnvironment(fillEnvironment(input as unknown as FileInput, "default"), around).map((problem) => {
    const [section, index, ...rest] = problem.path as [Section, number, ...(string | number)[]];
    return { ...problem, path: [section, places.get(section)![index]!, ...rest] };
  });
}
