/** What a Lua filter needs to do the gateway's job, as a careful user of Envoy would write it. */

export interface LuaOptions {
  host: string;
  segments: readonly string[];
  keys: readonly string[];
  consumerOf: (index: number) => string;
  /** false: only the four claims in their one spelling are taken away, by overwriting them (less than Tollgate does) */
  everySpelling: boolean;
}

/**
 * The source of a Lua filter that finds the API by host and first path segment, looks the key up, takes the key and every
 * forged claim away and sets the caller's claims. Lua has no digest at hand, so the table holds the keys as they are.
 */
export function luaSource({ host, segments, keys, consumerOf, everySpelling }: LuaOptions): string {
  const entries = keys.map((key, index) => `[${JSON.stringify(key)}]={c=${JSON.stringify(consumerOf(index))},t="gold",k="k${index}",s="read write"}`);
  // LuaJIT limits the constants of one function, so that the table is filled by many small ones.
  const chunks: string[] = [];
  for (let i = 0; i < entries.length; i += 1000) chunks.push(`;(function() for key, entry in pairs({${entries.slice(i, i + 1000).join(",")}}) do keys[key] = entry end end)()`);
  return `
local keys = {}
${chunks.join("\n")}
local apis = { [${JSON.stringify(host)}] = { ${segments.map((segment) => `[${JSON.stringify(segment)}]=true`).join(", ")} } }

function envoy_on_request(handle)
  local headers = handle:headers()
  local host = string.lower(string.match(headers:get(":authority"), "^[^:]*"))
  local segments = apis[host]
  if not segments or not segments[string.match(headers:get(":path"), "^/([^/?]*)")] then
    handle:respond({ [":status"] = "404" }, "unknown API")
    return
  end
  local key = headers:get("x-api-key")
  local entry = key and keys[key]
${everySpelling ? removeForged : ""}  headers:remove("x-api-key")
  if not entry then
    handle:respond({ [":status"] = "401" }, "API key not valid")
    return
  end
  headers:replace("x-tollgate-consumer", entry.c)
  headers:replace("x-tollgate-tier", entry.t)
  headers:replace("x-tollgate-key-id", entry.k)
  headers:replace("x-tollgate-scopes", entry.s)
end
`;
}

const removeForged = `
  local forged
  for name in pairs(headers) do
    if string.byte(name, 1) == 120 and string.find(name, "^x[-_]tollgate[-_]") then
      forged = forged or {}
      forged[#forged + 1] = name
    end
  end
  if forged then
    for _, name in ipairs(forged) do headers:remove(name) end
  end
`;
