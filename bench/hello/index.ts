/** The "hello world" of @solo-io/proxy-runtime's README: what a filter costs when it is built on that SDK. */
export * from "@solo-io/proxy-runtime/assembly/proxy";
import {
  Context,
  FilterHeadersStatusValues,
  RootContext,
  registerRootContext,
  stream_context,
} from "@solo-io/proxy-runtime/assembly";

class AddHeaderRoot extends RootContext {
  createContext(contextId: u32): Context {
    return new AddHeader(contextId, this);
  }
}

class AddHeader extends Context {
  constructor(contextId: u32, rootContext: AddHeaderRoot) {
    super(contextId, rootContext);
  }
  onResponseHeaders(_headers: u32, _endOfStream: bool): FilterHeadersStatusValues {
    const configuration = this.root_context.getConfiguration();
    stream_context.headers.response.add("hello", configuration == "" ? "world!" : configuration);
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((contextId: u32) => new AddHeaderRoot(contextId), "add_header");
