/**
 * One reading of a request's host, path and method: where it belongs, if every reader that may come behind the filter agrees.
 *
 * Envoy routes by the path as it stands. A backend may decode it, drop `;parameters`, end it at an encoded `?` or `#`, or ignore its case; each
 * of these readings is matched too, and a request that belongs elsewhere in one of them is refused. A usual path has one reading and one match.
 */
import { scratch } from "../abi/memory";
import { isFoldable, methodBit } from "../http/methods";
import {
  PATH_DECODE,
  PATH_FOLD,
  PATH_INVALID,
  cutBytes,
  decodePath,
  foldPath,
  pathBytes,
  scanPath,
} from "../http/pathSafety";
import { AMBIGUOUS, Router, matchedApi, matchedRoute } from "./router";

/** Beside those of router.ts: what else `findPlace` may return. */
export const PATH_REFUSED: u32 = 5;
export const METHOD_INVALID: u32 = 6;

let theRouter: Router = new Router();
let theHost: usize = 0;
let theHostBytes: u32 = 0;
let thePath: usize = 0;
let thePathBytes: u32 = 0;
let theFlags: u32 = 0;
let theBit: u32 = 0;
let theMethod: usize = 0;
let theMethodBytes: u32 = 0;

/**
 * Reads a host and a target (`:path`, with its query) for `findPlace`, which looks them up in the router. `anyCase`: upstreams may ignore the
 * case of paths. No target at all, as CONNECT may have none, and `*` are taken as they stand. The bytes must stay where they are meanwhile.
 */
export function readTarget(
  router: Router,
  anyCase: bool,
  host: usize,
  hostBytes: u32,
  target: usize,
  targetBytes: u32,
): void {
  theRouter = router;
  theHost = host;
  theHostBytes = hostBytes;
  thePath = target;
  thePathBytes = targetBytes;
  theFlags = 0;
  if (targetBytes > 1 || (targetBytes == 1 && load<u8>(target) == 0x2f)) {
    theFlags = scanPath(target, targetBytes);
    thePathBytes = pathBytes();
  }
  // An escape may hide a capital; and a path with a capital may be asked for without.
  if (!anyCase) theFlags &= ~PATH_FOLD;
  else if (router.capitals || (theFlags & PATH_DECODE) != 0) theFlags |= PATH_FOLD;
}

/**
 * Where what `readTarget` has read belongs with this method: NO_API, API_FOUND, METHOD_REFUSED, AMBIGUOUS, HOST_REFUSED, PATH_REFUSED or
 * METHOD_INVALID. Sets `matchedApi`, `matchedRoute` and `matchedRouteIndex` of router.ts.
 */
export function findPlace(method: usize, methodBytes: u32): u32 {
  if ((theFlags & PATH_INVALID) != 0) return PATH_REFUSED;
  theBit = methodBit(method, methodBytes);
  if (theBit == 0 && isFoldable(method, methodBytes)) return METHOD_INVALID;
  theMethod = method;
  theMethodBytes = methodBytes;
  if ((theFlags & (PATH_DECODE | PATH_FOLD)) != 0 && !readingsAgree()) return AMBIGUOUS;
  return match(thePath, thePathBytes, false);
}

function match(path: usize, bytes: u32, folded: bool): u32 {
  return theRouter.match(theHost, theHostBytes, path, bytes, theBit, theMethod, theMethodBytes, folded);
}

let firstFound: u32 = 0;
let firstApi: usize = 0;
let firstRoute: usize = 0;

/** Whether a reading leads where the path as it stands does. */
function leadsThere(path: usize, bytes: u32, folded: bool): bool {
  return match(path, bytes, folded) == firstFound && matchedApi == firstApi && matchedRoute == firstRoute;
}

function readingsAgree(): bool {
  firstFound = match(thePath, thePathBytes, false);
  firstApi = matchedApi;
  firstRoute = matchedRoute;
  const fold = (theFlags & PATH_FOLD) != 0;
  const room = scratch(thePathBytes);
  if (room == 0) return false;
  if (fold && !leadsThere(room, foldPath(thePath, thePathBytes, room), true)) return false;
  if ((theFlags & PATH_DECODE) == 0) return true;
  const decoded = scratch(thePathBytes);
  if (decoded == 0) return false;
  const bytes = decodePath(thePath, thePathBytes, decoded);
  const cut = cutBytes();
  if (!leadsThere(decoded, bytes, false) || (cut < bytes && !leadsThere(decoded, cut, false))) return false;
  if (!fold) return true;
  return (
    leadsThere(room, foldPath(decoded, bytes, room), true) &&
    (cut == bytes || leadsThere(room, foldPath(decoded, cut, room), true))
  );
}
