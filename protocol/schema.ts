/** The one description of what the control plane and gateways say to each other, and of the names that both use. */
export * from "./define.ts";
export * from "./enums.ts";
export * from "./reasons.ts";
export * from "./records.ts";
