/** What proxy-runtime 0.1.8 wants of AssemblyScript's former reference counting, by today's pinning. */

export function __retain(pointer: usize): usize {
  return __pin(pointer);
}

export function __release(pointer: usize): void {
  __unpin(pointer);
}
