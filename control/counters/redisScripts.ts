/** The scripts, each generic, that run on one slot group. The rules are in decide.ts alone: scripts only read, compare and write. */
import { createHash } from "node:crypto";

export interface Script {
  text: string;
  sha: string;
}

/** The values of the first so many keys, false where there is none. Lua takes a few thousand arguments at a time. */
const manyStrings = `
local function strings_of(count)
  local values = {}
  for from = 1, count, 1000 do
    local some = redis.call('MGET', unpack(KEYS, from, math.min(from + 999, count)))
    for index = 1, #some do values[from + index - 1] = some[index] end
  end
  return values
end`;

/**
 * Reads in one go. KEYS: strings, then hashes. ARGV: number of strings, and of the first of them that are wanted only up to their `;`; then
 * for each hash the number of fields and the fields, where -1 stands for all of it. Answers with the clock (seconds, microseconds), a
 * list of the strings' values, and a list for each hash.
 */
export const loadScript = script(`${manyStrings}
local strings, short = tonumber(ARGV[1]), tonumber(ARGV[2])
local values = strings_of(strings)
for index = 1, short do
  local value = values[index]
  if value then values[index] = string.sub(value, 1, string.find(value, ';', 1, true)) end
end
local hashes = {}
local at = 3
for index = strings + 1, #KEYS do
  local count = tonumber(ARGV[at])
  if count < 0 then
    hashes[#hashes + 1] = redis.call('HGETALL', KEYS[index])
    at = at + 1
  else
    local fields = {}
    for field = 1, count do fields[field] = redis.call('HGET', KEYS[index], ARGV[at + field]) end
    hashes[#hashes + 1] = fields
    at = at + count + 1
  end
end
local time = redis.call('TIME')
return {time[1], time[2], values, hashes}
`);

/**
 * Writes if what was read is still so. KEYS: strings, then hashes. ARGV: number of strings; for each string what it must begin with ('-': it
 * must not be there), its new value ('' leaves it), its time to live in ms; then for each hash its time to live, the number of fields,
 * and each field with its value ('' deletes it). A time to live of 0 leaves a hash's as it is. Answers 0, or with the number of the first
 * string that has changed, and then wrote nothing.
 */
export const storeScript = script(`${manyStrings}
local strings = tonumber(ARGV[1])
local values = strings_of(strings)
for index = 1, strings do
  local value = values[index]
  local expected = ARGV[index * 3 - 1]
  if expected == '-' then
    if value then return index end
  elseif not value or string.sub(value, 1, #expected) ~= expected then
    return index
  end
end
for index = 1, strings do
  local value = ARGV[index * 3]
  if value ~= '' then redis.call('SET', KEYS[index], value, 'PX', ARGV[index * 3 + 1]) end
end
local at = strings * 3 + 2
for index = strings + 1, #KEYS do
  local count = tonumber(ARGV[at + 1])
  for field = 1, count do
    local name, value = ARGV[at + field * 2], ARGV[at + field * 2 + 1]
    if value == '' then redis.call('HDEL', KEYS[index], name) else redis.call('HSET', KEYS[index], name, value) end
  end
  if ARGV[at] ~= '0' then redis.call('PEXPIRE', KEYS[index], ARGV[at]) end
  at = at + 2 + count * 2
end
return 0
`);

/** Forgets the lanes that haven't called since. KEYS: last calls, gateways. ARGV: the time, how many at most. Answers with how many there were. */
export const forgetLanesScript = script(`
local lanes = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for index = 1, #lanes do
  redis.call('ZREM', KEYS[1], lanes[index])
  redis.call('HDEL', KEYS[2], lanes[index])
end
return #lanes
`);

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}
