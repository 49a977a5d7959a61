-- put_job.lua: queue a job
-- Runs after queueing.lua
-- KEYS[1]   waiting, a stream: see queue.lua
-- ARGV      the field, the content, the user's id, about how many may wait
-- Returns   how many waiting jobs are lost by it
return queue_job(KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]))
