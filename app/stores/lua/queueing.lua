-- queueing.lua: how a job comes into a queue, for every script that queues one
-- Defines   queue_job, oldest_kept
local KEPT_S = 7 * 24 * 3600

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

-- Returns the id before which no job waits any more, by the clock of Redis, which gives the ids: a process whose clock is
-- ahead must not have all jobs thrown away.
local function oldest_kept()
  return string.format("%d", (redis.call("TIME")[1] - KEPT_S) * 1000)
end
