-- queue_rows.lua: put jobs from the outbox of a user into a queue, all or none
-- Runs after queueing.lua
-- KEYS[1]   the stream of the queue
-- ARGV[1]   JSON: field, user_id ("" for no order), contents, max (about how many jobs may wait)
-- Returns   how many jobs are lost by it
local new = cjson.decode(ARGV[1])
local lost = 0
for _, content in ipairs(new.contents) do
  lost = lost + queue_job(KEYS[1], new.field, content, new.user_id, new.max)
end
return lost
