-- give_up_job.lua: give a job up that was taken, whatever is in it
-- Runs after jobs.lua
-- KEYS[2]   dead, a stream: the fields that the job had, attempts and failure
-- ARGV[2]   JSON: id of the entry, attempts, failure (of the last one), oldest (the id before which the dead are
--           forgotten), retention_s (after which all are, if none is added)
local asked = cjson.decode(ARGV[2])
local fields = take_out(asked.id)
if fields then
  fields.attempts, fields.failure = asked.attempts, asked.failure
  local row = {}
  for name, value in pairs(fields) do
    table.insert(row, name)
    table.insert(row, value)
  end
  redis.call("XADD", KEYS[2], "MAXLEN", "~", call.max_dead, "*", unpack(row))
  redis.call("XTRIM", KEYS[2], "MINID", asked.oldest)
  redis.call("EXPIRE", KEYS[2], asked.retention_s)
end
