-- queueing.lua: how a job comes into a queue, for every script that queues one
-- Defines   queue_job

-- Queue a job. Returns how many waiting jobs are lost by it: the oldest, if more than `max` wait or if they have waited
-- since before `oldest` (an id of the stream).
local function queue_job(stream, field, content, user_id, max, oldest)
  local before = redis.call("XLEN", stream)
  redis.call("XADD", stream, "MINID", "~", oldest, "*", field, content, "user", user_id)
  if before >= max then
    redis.call("XTRIM", stream, "MAXLEN", "~", max)
  end
  return before + 1 - redis.call("XLEN", stream)
end
