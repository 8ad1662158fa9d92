/** The one call that proxy-runtime 0.1.8 wants of a module which AssemblyScript no longer has. */
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit")
export declare function proc_exit(code: u32): void;
