-- finish_job.lua: remove a job that a worker took, because it is done or need not be done
-- Runs after jobs.lua, which defines KEYS[1] and ARGV[1]
-- ARGV[2]   JSON: id of the entry
-- Returns   nothing
local id = cjson.decode(ARGV[2]).id
redis.call("XACK", ready, call.group, id)
redis.call("XDEL", ready, id)
