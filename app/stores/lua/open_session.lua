-- open_session.lua: open a session, if the credentials it was begun with are still the user's
-- KEYS[4]   user, a hash
-- Runs after session.lua
-- ARGV[2]   JSON: id_hash, record, credentials_version (that the login began with), cap on the user's sessions
-- Returns   1, or 0 where the credentials have changed since, or the user is gone or disabled
local new = cjson.decode(ARGV[2])
local is_outdated = redis.call("HGET", KEYS[4], "epoch") ~= new.credentials_version
if is_outdated or redis.call("HEXISTS", KEYS[4], "disabled") == 1 then
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
