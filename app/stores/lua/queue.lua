-- queue.lua: the beginning of every script on a queue of jobs
-- Runs after queueing.lua
-- KEYS[1]   waiting, a stream: every job that is not done yet, in order
-- KEYS[2]   open, a hash: maps a user to their one open job (JSON: id, hold, attempts, failing_since, failure,
--           worker: who holds it)
-- KEYS[3]   due, a sorted set: users, scored by when their open job may be taken (Unix s): a worker holds it until then,
--           or it failed and is tried again then
-- KEYS[4]   parked, a sorted set: "<user>:<padded id>" of each job that waits behind the open one of its user
-- KEYS[5]   state, a hash: see QueueStatus in stores/job_records.py, and cursor: the id of the last entry that was looked at
-- KEYS[6]   dead, a stream: jobs that were given up
-- ARGV[1]   JSON: field (the name of the field with a job's content), max (about how many may wait), max_dead and
--           retention_s (about how many are kept in `dead`, and how long)
-- Defines   waiting, open, due, parked, state, dead, call (ARGV[1]), fields_in, fields_of, queue
local waiting, open, due, parked, state, dead = unpack(KEYS)
local call = cjson.decode(ARGV[1])

-- Returns the fields of an entry of a stream as a table.
local function fields_in(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields
end

-- Returns the fields of a waiting job; nothing if it is gone.
local function fields_of(id)
  local entry = redis.call("XRANGE", waiting, id, id)[1]
  return entry and fields_in(entry)
end

local function queue(content, user_id)
  return queue_job(waiting, call.field, content, user_id, call.max)
end
