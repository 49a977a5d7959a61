-- postpone_job.lua: postpone a job that a worker took; do nothing if another worker settled it
-- Runs after jobs.lua, which defines KEYS[1] and ARGV[1]
-- KEYS[2]   later, a sorted set: "<entry id> <attempts> <failing_since> <content>", scored by its due time (Unix s)
-- ARGV[2]   JSON: id of the entry, due_at (Unix s), attempts (how many failed), failing_since (Unix s, text)
-- Returns   nothing
local asked = cjson.decode(ARGV[2])
local fields = take_out(asked.id)
if fields then  -- the id distinguishes jobs with equal content
  local row = table.concat({ asked.id, asked.attempts, asked.failing_since, fields[call.content] }, " ")
  redis.call("ZADD", KEYS[2], asked.due_at, row)
end
