-- end_sessions.lua: end some sessions of a user, and skip hashes that are not theirs
-- Runs after session.lua and forgetting.lua, which define KEYS[1] to KEYS[4] and ARGV[1]
-- ARGV[2]   JSON: id_hashes, reason, caller (id_hash of the session that asks; absent for an operator)
-- Returns   the number of ended sessions; -1 if the caller's session is over
local asked = cjson.decode(ARGV[2])
if asked.caller and not is_live(asked.caller) then
  finish_expired()
  write_for_replicas()
  return -1
end

-- Forget the remembered device that a session was opened on: whoever ends it from elsewhere may have lost that device.
local function forget_device_of(id_hash)
  local record = record_of(id_hash)
  if record and record.remembered then
    forget_devices(function(_, device) return device and device.id == record.remembered end)
  end
end

local by = asked.caller and ender(asked.caller)
local count = 0
for _, id_hash in ipairs(asked.id_hashes) do
  local score = redis.call("ZSCORE", last_used, id_hash)
  if score and is_over(id_hash, score) then
    finish_by_time(id_hash, score)
  elseif score then
    if id_hash ~= asked.caller then
      forget_device_of(id_hash)
    end
    finish(id_hash, asked.reason, by)
    count = count + 1
  end
end
write_for_replicas()
return count
