-- hurry_jobs.lua: let the jobs that failed be tried again at once, ten thousand at most: those that are due next
-- Runs after queueing.lua and queue.lua, which define KEYS and ARGV[1]
-- ARGV[2]   JSON: now (Unix s)
-- Returns   nothing
local now = cjson.decode(ARGV[2]).now
for _, user in ipairs(redis.call("ZRANGEBYSCORE", due, "(" .. now, "+inf", "LIMIT", 0, 10000)) do
  local row = redis.call("HGET", open, user)
  if row and not cjson.decode(row).worker then
    redis.call("ZADD", due, now, user)
  end
end
