-- requeue_jobs.lua: queue postponed jobs that are due again, a hundred at most
-- Runs after jobs.lua, which defines KEYS[1] and ARGV[1]
-- KEYS[2]   later, a sorted set: see postpone_job.lua
-- ARGV[2]   JSON: now (Unix s)
-- Returns   nothing
local now = cjson.decode(ARGV[2]).now
for _, row in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", now, "LIMIT", 0, 100)) do
  redis.call("ZREM", KEYS[2], row)
  local attempts, failing_since, content = string.match(row, "^%S+ (%S+) (%S+) (.*)$")
  if attempts then
    queue(attempts, content, "failing_since", failing_since)
  end
end
