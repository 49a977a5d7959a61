-- open_session.lua: open a session, if the user's credentials have not changed since the login began
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   user, a hash
-- ARGV[2]   JSON: id_hash, record (JSON), credentials_version (when the login began), cap (if the user has more
--           sessions, the least recently used ones end)
-- Returns   1; 0 if the credentials have changed, or the user is gone or disabled
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
