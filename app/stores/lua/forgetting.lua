-- forgetting.lua: how remembered devices are forgotten by themselves, not with a change of credentials (change.lua)
-- Runs after session.lua. The script that follows has this KEY, too
-- KEYS[4]   remembered, a hash: see remembered.lua
-- Defines   forget_devices
local remembered = KEYS[4]

-- Forget the devices of which is_meant(id_hash, device) is true. device: nil if it is none of ours. Returns how many.
local function forget_devices(is_meant)
  local count = 0
  local held = redis.call("HGETALL", remembered)
  for i = 1, #held, 2 do
    if is_meant(held[i], read(held[i + 1], "ends_at")) then
      count = count + redis.call("HDEL", remembered, held[i])
    end
  end
  return count
end
