/** Reads a Containerfile as far as deploy/Containerfile needs it: stages, and each one's instructions in order. */

export interface Instruction {
  name: string;
  /** the words after the name and the flags; of the JSON form, its strings */
  words: string[];
  flags: Record<string, string>;
  /** all after the name, on one line */
  text: string;
}

export interface Stage {
  name: string | undefined;
  base: string;
  instructions: Instruction[];
}

/** The stages of a Containerfile; throws at what it doesn't know. */
export function parseContainerfile(source: string): Stage[] {
  const variables = new Map<string, string>();
  const stages: Stage[] = [];
  for (const { name, words, flags, text } of instructionsOf(source)) {
    if (name === "ARG" && stages.length === 0) {
      const [variable, ...value] = words[0]!.split("=");
      variables.set(variable!, value.join("="));
    } else if (name === "FROM") {
      const base = words[0]!.replace(/\$\{(\w+)\}/g, (_, variable: string) => variables.get(variable) ?? "");
      stages.push({ name: words[1]?.toUpperCase() === "AS" ? words[2] : undefined, base, instructions: [] });
    } else if (stages.length === 0) {
      throw new Error(`${name} stands before the first FROM`);
    } else {
      stages.at(-1)!.instructions.push({ name, words, flags, text });
    }
  }
  return stages;
}

function* instructionsOf(source: string): Generator<Instruction> {
  const known = new Set([
    "ARG",
    "FROM",
    "WORKDIR",
    "COPY",
    "RUN",
    "USER",
    "VOLUME",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "ENTRYPOINT",
    "CMD",
  ]);
  const lines = source
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .join("\n")
    .replace(/\\\n\s*/g, "")
    .split("\n");
  for (const line of lines.filter((text) => text.trim() !== "")) {
    const [, name, rest] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (name === undefined || !known.has(name)) throw new Error(`not understood: ${line}`);
    const flags: Record<string, string> = {};
    const text = rest!.replace(
      /--([\w-]+)=(\S+)\s+/gy,
      (_, flag: string, value: string) => ((flags[flag] = value), ""),
    );
    yield { name, flags, text, words: wordsOf(text) };
  }
}

function wordsOf(text: string): string[] {
  if (text.startsWith("[")) return JSON.parse(text) as string[];
  if (text.startsWith("CMD ")) return wordsOf(text.slice(4));
  return Array.from(text.matchAll(/(?:[^\s"]|"[^"]*")+/g), ([word]) => word.replaceAll('"', ""));
}

/** The `ENV` of a stage. */
export function environmentOf(stage: Stage): Record<string, string> {
  return Object.fromEntries(
    stage.instructions
      .filter(({ name }) => name === "ENV")
      .flatMap(({ words }) =>
        words.map((word) => {
          const [name, ...value] = word.split("=");
          return [name!, value.join("=")] as const;
        }),
      ),
  );
}

/** The last instruction of a name. */
export function last(stage: Stage, name: string): Instruction {
  const found = stage.instructions.findLast((instruction) => instruction.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}
