/** A suite; one that is a command has no files. */
export interface Suite {
  name: string;
  files: string[] | undefined;
}

export const commands: string[];
export const quick: string[];
export function nodeSuites(): Suite[];
export function filesAtOnce(suite: string): number;
export function choose(names: string[]): Suite[];
