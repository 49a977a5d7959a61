-- revive_jobs.lua: queue given-up jobs as new jobs, a hundred at most; jobs without content stay
-- Runs after jobs.lua, which defines KEYS[1] and ARGV[1]
-- KEYS[2]   dead, a stream: see give_up_job.lua
-- ARGV[2]   JSON: after (the id after which to begin)
-- Returns   the id of the last job that was read, "" if there was no job; the number of queued jobs
local asked = cjson.decode(ARGV[2])
local rows = redis.call("XRANGE", KEYS[2], "(" .. asked.after, "+", "COUNT", 100)
local queued = 0
for _, row in ipairs(rows) do
  for i = 1, #row[2], 2 do
    if row[2][i] == call.content then
      redis.call("XDEL", KEYS[2], row[1])
      queue(0, row[2][i + 1])
      queued = queued + 1
    end
  end
end
return { #rows > 0 and rows[#rows][1] or "", queued }
