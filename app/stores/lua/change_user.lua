-- change_user.lua: change what a user signs in with, and what that does to their sessions, as one step
-- KEYS[4]   user, a hash
-- KEYS[5]   backup_codes, a set of keyed hashes
-- ARGV[2]   JSON, what is absent stays as it is:
--             caller        id_hash of the session that asks
--             epoch         the one under which the rules looked at the user
--             same_epoch    true where what proves the user has not changed: logins under way go on
--             set, unset    fields of the user: name to value, names
--             backup_codes  those that take the place of all before
--             new_id_hash   the caller's session goes on under it
--             reason        why it does
--             end_others    the reason for which all sessions but the caller's end
-- Returns   1; 0 where the epoch has moved or the user is gone; -1 where the caller's own session is over
local user, backup_codes = KEYS[4], KEYS[5]
local change = cjson.decode(ARGV[2])

if change.caller and not is_live(change.caller) then
  return -1
end
local epoch = redis.call("HGET", user, "epoch")
if not epoch or (change.epoch and epoch ~= change.epoch) then
  return 0
end

if not change.same_epoch then
  redis.call("HINCRBY", user, "epoch", 1)
end
for field, value in pairs(change.set or {}) do
  redis.call("HSET", user, field, value)
end
for _, field in ipairs(change.unset or {}) do
  redis.call("HDEL", user, field)
end
if change.backup_codes then
  redis.call("DEL", backup_codes)
  for _, hash in ipairs(change.backup_codes) do
    redis.call("SADD", backup_codes, hash)
  end
end

if change.end_others then
  finish_expired()
  finish_others(change.caller, change.end_others, change.caller and ender(change.caller))
end
if change.new_id_hash then
  local score = redis.call("ZSCORE", last_used, change.caller)
  local record = redis.call("HGET", sessions, change.caller)
  redis.call("ZREM", last_used, change.caller)
  redis.call("ZADD", last_used, score, change.new_id_hash)
  if record then
    redis.call("HDEL", sessions, change.caller)
    redis.call("HSET", sessions, change.new_id_hash, record)
  end
  keep()
  tell("AUTH_SESSION_CHANGE", change.new_id_hash, change.reason, change.caller)
end
return 1
