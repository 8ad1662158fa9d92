/**
 * Hides what has the form of a Tollgate key (`tg_…`) or token (`tga_…`, `tgg_…`) in text that people or logs get: its prefix and, of a key, its
 * environment stay. A part of one from a dozen characters on is hidden as well, also one with a copying mistake.
 */
export function maskSecrets(text: string): string {
  return text.replace(secret, "$<kind>…");
}

const secret = /(?<kind>tg_[a-z0-9-]{1,32}_|tg[ag]_)[0-9A-Za-z_-]{12,}/g;

/** The environment variables without those that may hold secrets of Tollgate's, for programs that have no use for them. */
export function withoutTollgate(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("TOLLGATE_")));
}
