/** Who this gateway is: the node's id and a random id of the process, which all VMs of the Envoy share. */
import { CREATE, getShared, property, setShared, value, valueBytes } from "../abi/host";
import { scratch } from "../abi/memory";
import { random64 } from "../abi/wasi";
import { Text, ascii } from "../lib/text";

const BOOT = ascii("tg1/boot");
const NODE_ID = ascii("xds\0node\0id");
let known: StaticArray<u8> | null = null;

/** `<node id>~<boot id>`, at most 256 bytes. */
export function gatewayName(): StaticArray<u8> {
  const was = known;
  if (was != null) return was;
  const text = new Text(256);
  if (property(changetype<usize>(NODE_ID), NODE_ID.length)) text.copy(value(), valueBytes() < 200 ? valueBytes() : 200);
  const name = text.byte(0x7e).hex(bootId());
  const out = new StaticArray<u8>(name.bytes);
  memory.copy(changetype<usize>(out), name.start, name.bytes);
  heap.free(name.start);
  known = out;
  return out;
}

function bootId(): u64 {
  const at = scratch(8);
  if (at == 0) return 0;
  store<u64>(at, random64());
  setShared(changetype<usize>(BOOT), BOOT.length, at, 8, CREATE);
  return getShared(changetype<usize>(BOOT), BOOT.length) && valueBytes() == 8 ? load<u64>(value()) : 0;
}
