import { MemoryCounterStore } from "../../control/counters/memory.ts";
import { counterContract } from "./contract.ts";

counterContract("memory", {
  async open(nowMs) {
    const store = new MemoryCounterStore({ nowMs });
    return { store, again: async () => store };
  },
  shared: false,
});
