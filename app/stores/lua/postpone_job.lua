-- postpone_job.lua: put a job that was taken aside until later; one that somebody else was done with stays so
-- Runs after jobs.lua
-- KEYS[2]   later, a sorted set: "<entry id> <attempts> <failing_since> <content>" by when it is due (Unix s)
-- ARGV[2]   JSON: id of the entry, due_at (Unix s), attempts so far, failing_since (Unix s, text)
local asked = cjson.decode(ARGV[2])
local fields = take_out(asked.id)
if fields then  -- the id keeps two jobs apart that have the same content
  local row = table.concat({ asked.id, asked.attempts, asked.failing_since, fields[call.content] }, " ")
  redis.call("ZADD", KEYS[2], asked.due_at, row)
end
