-- open_session.lua: open a session, if the credentials it was begun with are still the user's
-- KEYS[4]   user, a hash
-- ARGV[2]   JSON: id_hash, record, epoch the login began with, cap on the user's sessions
-- Returns   1, or 0 where the epoch has moved, or the user is gone or disabled
local new = cjson.decode(ARGV[2])
if redis.call("HGET", KEYS[4], "epoch") ~= new.epoch or redis.call("HEXISTS", KEYS[4], "disabled") == 1 then
  return 0
end
finish_expired()
while redis.call("ZCARD", last_used) >= new.cap do
  finish(redis.call("ZRANGE", last_used, 0, 0)[1], "evicted")
end
redis.call("ZADD", last_used, call.now, new.id_hash)
redis.call("HSET", sessions, new.id_hash, new.record)
keep()
report("AUTH_SESSION_CREATE", new.id_hash)
return 1
