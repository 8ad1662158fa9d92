/** What a Lua filter needs to do the gateway's job, as a careful user of Envoy would write it. */

export interface LuaOptions {
  host: string;
  segments: readonly string[];
  keys: readonly string[];
  consumerOf: (index: number) => string;
  /** false: only the four claims in their one spelling are taken away, by overwriting them (less than Tollgate does) */
  everySpelling: boolean;
  /** a minute and a day limit for each key, counted in this worker alone, and RateLimit headers in responses */
  limits?: { minute: number; day: number };
}

/**
 * The source of a Lua filter that finds the API by host and first path segment, looks the key up, takes the key and every
 * forged claim away and sets the caller's claims. Lua has no digest at hand, so the table holds the keys as they are.
 */
export function luaSource({ host, segments, keys, consumerOf, everySpelling, limits }: LuaOptions): string {
  const entries = keys.map(
    (key, index) =>
      `[${JSON.stringify(key)}]={c=${JSON.stringify(consumerOf(index))},t="gold",k="k${index}",s="read write"}`,
  );
  // LuaJIT limits the constants of one function, so that the table is filled by many small ones.
  const chunks: string[] = [];
  for (let i = 0; i < entries.length; i += 1000)
    chunks.push(
      `;(function() for key, entry in pairs({${entries.slice(i, i + 1000).join(",")}}) do keys[key] = entry end end)()`,
    );
  return `
local keys = {}
${chunks.join("\n")}
${limits ? limiter(limits) : ""}local apis = { [${JSON.stringify(host)}] = { ${segments.map((segment) => `[${JSON.stringify(segment)}]=true`).join(", ")} } }

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
    handle:respond({ [":status"] = "401" }, "Invalid API key")
    return
  end
${limits ? takeLimits : ""}  headers:replace("x-tollgate-consumer", entry.c)
  headers:replace("x-tollgate-tier", entry.t)
  headers:replace("x-tollgate-key-id", entry.k)
  headers:replace("x-tollgate-scopes", entry.s)
end
${limits ? showLimits : ""}`;
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

/** Fixed windows. All limits are taken, or none; `os.time` is the cheapest clock. */
function limiter({ minute, day }: { minute: number; day: number }): string {
  return `
local minute_limit, day_limit = ${minute}, ${day}
local policies = '"minute";q=${minute};w=60, "day";q=${day};w=86400'

local function take(entry)
  local now = os.time()
  local minute, day = now - now % 60, now - now % 86400
  if entry.minute ~= minute then entry.minute, entry.minute_used = minute, 0 end
  if entry.day ~= day then entry.day, entry.day_used = day, 0 end
  local taken = entry.minute_used < minute_limit and entry.day_used < day_limit
  if taken then entry.minute_used, entry.day_used = entry.minute_used + 1, entry.day_used + 1 end
  return taken, string.format('"minute";r=%d;t=%d, "day";r=%d;t=%d', minute_limit - entry.minute_used, minute + 60 - now, day_limit - entry.day_used, day + 86400 - now)
end

`;
}

const takeLimits = `  local taken, limits = take(entry)
  if not taken then
    handle:respond({ [":status"] = "429", ["ratelimit-policy"] = policies, ["ratelimit"] = limits }, "limit exceeded")
    return
  end
  handle:streamInfo():dynamicMetadata():set("envoy.filters.http.lua", "limits", limits)
`;

const showLimits = `
function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.lua")
  if not metadata then return end
  local headers = handle:headers()
  headers:replace("ratelimit-policy", policies)
  headers:replace("ratelimit", metadata.limits)
end
`;
