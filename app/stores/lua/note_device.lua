-- note_device.lua: note what kind of device a user signed in with
-- KEYS[4]   known_devices, a sorted set: kinds of device by when one last signed in (Unix s)
-- KEYS[5]   user, a hash
-- ARGV[2]   JSON: device
-- Returns   1 where it is a new one, else 0
local KEPT = 100
local known, user = KEYS[4], KEYS[5]
local met = cjson.decode(ARGV[2])
if redis.call("EXISTS", user) == 0 then
  return 0
end
-- The first of an account is not new. Where other sessions live, it had others before anybody took note of them.
local is_first = redis.call("EXISTS", known) == 0 and redis.call("ZCARD", last_used) <= 1
local is_added = redis.call("ZADD", known, call.now, met.device) == 1
redis.call("ZREMRANGEBYRANK", known, 0, -KEPT - 1)
return is_added and not is_first and 1 or 0
