-- count_notice.lua: count what a user is to be told of, by the hour that begins with the first
-- KEYS[4]   told, a hash: began (Unix s), count
-- Returns   the how manieth within the hour it is
local HOUR_S = 3600
local told = KEYS[4]
local began = redis.call("HGET", told, "began")
if not began or call.now - began >= HOUR_S then
  redis.call("DEL", told)
  redis.call("HSET", told, "began", call.now)
end
redis.call("EXPIRE", told, HOUR_S)
return redis.call("HINCRBY", told, "count", 1)
