/**
 * Dependencies point downwards: assembly (alone) · protocol → control/domain → store, counters, usage, internalTokens → sync, http → control/main →
 * tools → devstack → cli. `npm run check` fails on an upward import and on a circle.
 */
const layers = {
  protocol: "^protocol/",
  domain: "^control/domain/",
  stores: "^control/(store|counters|usage|internalTokens|quota)/",
  services: "^control/(sync|http)/",
  control: "^control/",
  tools: "^tools/",
  devstack: "^devstack/",
  cli: "^cli/",
};

/** `from` must not import anything in `to`. */
const forbid = (name, from, to, comment) => ({
  name,
  comment,
  severity: "error",
  from: { path: from },
  to: { path: to },
});

export default {
  forbidden: [
    {
      name: "no-circular",
      comment: "Files that import each other can't be read, tested or moved alone.",
      severity: "error",
      from: {},
      to: { circular: true, dependencyTypesNot: ["type-only"] },
    },
    forbid(
      "protocol-is-lowest",
      layers.protocol,
      "^(control|tools|devstack|cli)/",
      "The protocol knows nothing of those who speak it.",
    ),
    forbid(
      "domain-is-pure",
      layers.domain,
      "^(control/(?!domain/)|tools/|devstack/|cli/)",
      "Rules are pure functions of records.",
    ),
    forbid(
      "stores-below-services",
      layers.stores,
      "^(control/(sync|http|main)|tools/|devstack/|cli/)",
      "Stores don't know who asks.",
    ),
    forbid(
      "services-below-tools",
      layers.control,
      "^(tools|devstack|cli)/",
      "The control plane runs without the command line.",
    ),
    forbid(
      "tools-below-devstack",
      layers.tools,
      "^(devstack|cli)/",
      "Tools are called by the command line, not the reverse.",
    ),
    forbid(
      "devstack-below-cli",
      layers.devstack,
      "^cli/",
      "The local stack is started by the command line, not the reverse.",
    ),
    forbid(
      "filter-stands-alone",
      "^assembly/",
      "^(protocol|control|tools|devstack|cli|tests)/",
      "The filter is compiled by AssemblyScript.",
    ),
    forbid(
      "no-tests-in-product",
      "^(control|tools|devstack|cli|protocol/(?!generate))",
      "^(tests|bench|scripts)/",
      "The product doesn't depend on its tests.",
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(node_modules|dist|build)/" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
  },
};
