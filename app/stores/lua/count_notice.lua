-- count_notice.lua: count one more notice of a kind; an hour begins with its first notice
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   notice_count, a hash: began (Unix s), count
-- Returns   the number in this hour, including this notice
local HOUR_S = 3600
local counted = KEYS[4]
local began = redis.call("HGET", counted, "began")
if not began or math.abs(call.now - began) >= HOUR_S then
  redis.call("DEL", counted)
  redis.call("HSET", counted, "began", call.now)
end
redis.call("EXPIRE", counted, HOUR_S)
return redis.call("HINCRBY", counted, "count", 1)
