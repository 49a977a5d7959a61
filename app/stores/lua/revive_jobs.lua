-- revive_jobs.lua: queue given-up jobs as new jobs, a hundred at most; jobs without content stay
-- Runs after queueing.lua and queue.lua, which define KEYS and ARGV[1]
-- ARGV[2]   JSON: after (the id after which to begin), only (an id; absent for all)
-- Returns   the id of the last job that was read, "" if there was no job; the number of queued jobs
local asked = cjson.decode(ARGV[2])
local from, to = "(" .. asked.after, "+"
if asked.only then
  from, to = asked.only, asked.only
end
local rows = redis.call("XRANGE", dead, from, to, "COUNT", 100)
local queued = 0
for _, row in ipairs(rows) do
  local fields = {}
  for i = 1, #row[2], 2 do
    fields[row[2][i]] = row[2][i + 1]
  end
  if fields[call.field] then
    redis.call("XDEL", dead, row[1])
    queue(fields[call.field], fields.user or "")
    queued = queued + 1
  end
end
return { #rows > 0 and not asked.only and rows[#rows][1] or "", queued }
