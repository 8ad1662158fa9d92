/** Stands in for AssemblyScript's own abort, which would import `env.abort`: an import that Envoy doesn't offer stops the load. */
export function abort(_message: string | null, _fileName: string | null, _line: u32, _column: u32): void {
  unreachable();
}
