-- write_user.lua: write the record of a new user, if there is no user with this id
-- Runs after queueing.lua and telling.lua, which define ARGV[1]
-- KEYS[1]   user, a hash
-- KEYS[2]   remembered, a hash. Devices that are remembered of a former record, which Redis has lost, are forgotten: its
--           credentials were others
-- KEYS[3]   passkeys, a hash
-- ARGV[2]   JSON: record, passkeys (each a list: names and values in turn), is_told (systems are told of the user)
-- Returns   1; 0 if there is one
local user, remembered, passkeys = KEYS[1], KEYS[2], KEYS[3]
local new = cjson.decode(ARGV[2])
if redis.call("EXISTS", user) == 1 then
  return 0
end
if #new.passkeys > 0 then
  redis.call("HSET", passkeys, unpack(new.passkeys))
end
redis.call("HSET", user, unpack(new.record))
redis.call("DEL", remembered)
if new.is_told then
  tell("user.created")
end
return 1
