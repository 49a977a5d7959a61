-- forget_remembered.lua: forget one remembered device of a user, or all
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   remembered, a hash: see remembered.lua
-- ARGV[2]   JSON: caller (id_hash of the session that asks; absent for an operator and for a browser that forgets its
--           own), id (that of the device) or id_hash (of its cookie's value); without both all are forgotten
-- Returns   how many are forgotten; -1 if the caller's session is over
local remembered = KEYS[4]
local asked = cjson.decode(ARGV[2])
if asked.caller and not is_live(asked.caller) then
  return -1
end

local function is_meant(id_hash, device)
  if asked.id then
    return device and device.id == asked.id
  end
  return not asked.id_hash or asked.id_hash == id_hash
end

local count = 0
local held = redis.call("HGETALL", remembered)
for i = 1, #held, 2 do
  if is_meant(held[i], read(held[i + 1], "ends_at")) then
    count = count + redis.call("HDEL", remembered, held[i])
  end
end
write_for_replicas()
return count
