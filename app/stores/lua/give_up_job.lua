-- give_up_job.lua: give up a job that a worker took, and keep it in `dead`; do nothing if another worker settled it
-- Runs after jobs.lua, which defines KEYS[1] and ARGV[1]
-- KEYS[2]   dead, a stream: the fields that the job had, attempts and failure
-- ARGV[2]   JSON: id of the entry, attempts (how many failed), failure (the last one), oldest (an id; older dead jobs
--           are removed), retention_s (if no job is added for so long, all are removed)
-- Returns   nothing
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
