-- queueing.lua: how a job comes into a queue, for every script that queues one
-- Defines   queue_job, oldest_kept
local KEPT_S = 7 * 24 * 3600

-- Returns the first id of a stream that is not older than this, by the clock of Redis, which gives the ids: a process whose
-- clock is ahead must not have all jobs thrown away.
local function oldest_kept(kept_s)
  return string.format("%d", (redis.call("TIME")[1] - kept_s) * 1000)
end

-- Queue a job. Returns how many waiting jobs are lost by it: the oldest, if more than `max` wait or if they have waited
-- for more than KEPT_S.
local function queue_job(stream, field, content, user_id, max)
  local before = redis.call("XLEN", stream)
  redis.call("XADD", stream, "MINID", "~", oldest_kept(KEPT_S), "*", field, content, "user", user_id)
  if before >= max then
    redis.call("XTRIM", stream, "MAXLEN", "~", max)
  end
  return before + 1 - redis.call("XLEN", stream)
end
