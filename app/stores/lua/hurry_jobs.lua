-- hurry_jobs.lua: let all jobs that failed be tried again at once
-- Runs after queueing.lua and queue.lua, which define KEYS and ARGV[1]
-- ARGV[2]   JSON: now (Unix s)
-- Returns   nothing
local now = cjson.decode(ARGV[2]).now
for _, user in ipairs(redis.call("ZRANGEBYSCORE", due, "(" .. now, "+inf")) do
  local row = redis.call("HGET", open, user)
  if row and not cjson.decode(row).worker then
    redis.call("ZADD", due, now, user)
  end
end
