-- finish_job.lua: forget a job that was taken: it is done, or need not be
-- Runs after jobs.lua
-- ARGV[2]   JSON: id of the entry
local id = cjson.decode(ARGV[2]).id
redis.call("XACK", ready, call.group, id)
redis.call("XDEL", ready, id)
