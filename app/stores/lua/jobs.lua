-- jobs.lua: the beginning of every script on a queue of jobs
-- KEYS[1]   ready, a stream: jobs that are due
-- ARGV[1]   JSON: group (of the workers), content (the name of the field with a job's content), max_ready and
--           max_dead (about how many are kept)
-- Defines   ready, call (ARGV[1]); take_out, queue
local ready = KEYS[1]
local call = cjson.decode(ARGV[1])

-- Remove a worker's job from the stream. Returns its fields; nothing if another worker has settled it.
local function take_out(entry_id)
  local entry = redis.call("XRANGE", ready, entry_id, entry_id)[1]
  if redis.call("XACK", ready, call.group, entry_id) == 0 or not entry then
    return nil
  end
  redis.call("XDEL", ready, entry_id)
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields
end

-- Queue a job. Arguments after the content are further fields and their values.
local function queue(attempts, content, ...)
  redis.call("XADD", ready, "MAXLEN", "~", call.max_ready, "*", "attempts", attempts, call.content, content, ...)
end
