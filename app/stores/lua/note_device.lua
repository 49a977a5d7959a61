-- note_device.lua: note the kind of device that a user signed in with; the latest hundred kinds are kept
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   known_devices, a sorted set: kinds of device, scored by the last sign-in (Unix s)
-- KEYS[5]   user, a hash
-- ARGV[2]   JSON: device
-- Returns   1 if the kind is new to the user, else 0
local KEPT = 100
local known, user = KEYS[4], KEYS[5]
local seen = cjson.decode(ARGV[2])
if redis.call("EXISTS", user) == 0 then
  return 0
end
-- An account's first device is not new. But if no kind is known, although other sessions are live, there were earlier
-- devices that were not noted. Then this device is new.
local is_first = redis.call("EXISTS", known) == 0 and redis.call("ZCARD", last_used) <= 1
local is_added = redis.call("ZADD", known, call.now, seen.device) == 1
redis.call("ZREMRANGEBYRANK", known, 0, -KEPT - 1)
return is_added and not is_first and 1 or 0
