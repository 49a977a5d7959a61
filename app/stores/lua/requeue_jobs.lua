-- requeue_jobs.lua: put jobs back into the stream that are due again, a hundred at most
-- Runs after jobs.lua
-- KEYS[2]   later, a sorted set
-- ARGV[2]   JSON: now (Unix s)
local now = cjson.decode(ARGV[2]).now
for _, row in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", now, "LIMIT", 0, 100)) do
  redis.call("ZREM", KEYS[2], row)
  local attempts, failing_since, content = string.match(row, "^%S+ (%S+) (%S+) (.*)$")
  queue(attempts, content, "failing_since", failing_since)
end
