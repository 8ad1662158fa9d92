/** Seconds as Kubernetes and Envoy write durations: whole seconds, then milliseconds. Both take `1s500ms`; the Gateway API takes no `1.5s`. */
export function duration(seconds: number): string {
  const ms = Math.max(1, Math.round(seconds * 1000));
  const [whole, rest] = [Math.floor(ms / 1000), ms % 1000];
  return `${whole > 0 ? `${whole}s` : ""}${rest > 0 ? `${rest}ms` : ""}`;
}
