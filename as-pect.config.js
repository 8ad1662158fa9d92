import { stubHost } from "./tests/unit/core/stubHost.mjs";

export default {
  entries: ["tests/unit/**/*.spec.ts"],
  include: ["tests/unit/**/*.include.ts"],
  disclude: [/node_modules/],
  async instantiate(memory, createImports, instantiate, binary) {
    const host = stubHost();
    const instance = await instantiate(binary, createImports({ env: { memory } }, host.imports));
    host.attach(instance.instance);
    return instance;
  },
  outputBinary: false,
};
