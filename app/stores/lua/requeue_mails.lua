-- requeue_mails.lua: put mails back into the stream that are due again, a hundred at most
-- KEYS[2]   later, a sorted set
-- ARGV[2]   JSON: now (Unix s)
local now = cjson.decode(ARGV[2]).now
for _, row in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", now, "LIMIT", 0, 100)) do
  redis.call("ZREM", KEYS[2], row)
  local attempts, failing_since, notice = string.match(row, "^%S+ (%S+) (%S+) (.*)$")
  queue(attempts, notice, "failing_since", failing_since)
end
