-- Requests for wrk, made once: arg 1 is a file of key lines, arg 2 one of header lines. The keys are sent in turn, the first is number arg 3.
-- Prints one JSON line at the end, so that nothing has to be read out of wrk's report.
local requests, turn = {}, 0

function init(args)
  local headers = {}
  for line in io.lines(args[2]) do
    local name, value = string.match(line, "^([^:]+): (.*)$")
    -- Only under this spelling does wrk know that the host is given.
    headers[name == "host" and "Host" or name] = value
  end
  for key in io.lines(args[1]) do
    headers["x-api-key"] = key
    requests[#requests + 1] = wrk.format("GET", nil, headers)
  end
  turn = tonumber(args[3]) % #requests
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"refused":%d,"broken":%d,"seconds":%f,"p50Ms":%f,"p99Ms":%f}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
