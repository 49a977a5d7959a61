-- replay.lua: makes wrk send the requests of a file, which has "<length>\n<bytes>" for each. They are ready to be sent, so
-- that the load costs little beside what it measures.
-- Arguments: the file; the longest pause before a request (ms), of which each from 0 on is as likely, 0 for none;
-- "random" to choose among the requests, "turn" to send one after the other, over and over
-- Writes a line: RESULT and the figures as JSON
local requests, at, is_random = {}, 0, false

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then
      break
    end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  is_random = args[3] == "random"
  math.randomseed(os.time())
  local longest = tonumber(args[2])
  if longest > 0 then
    function delay()
      return math.random(0, longest)
    end
  end
end

function request()
  if is_random then
    return requests[math.random(#requests)]
  end
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"count": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
