-- forget_remembered.lua: forget one remembered device of a user, or all
-- Runs after session.lua and forgetting.lua, which define KEYS[1] to KEYS[4], the last of KEYS and ARGV[1]
-- ARGV[2]   JSON: caller (id_hash of the session that asks; absent for an operator and for a browser that forgets its
--           own), id (that of the device) or id_hash (of its cookie's value); without both all are forgotten; activity (a
--           row that tells the user, see stores/activities.py; absent for a browser that forgets its own)
-- Returns   how many are forgotten; -1 if the caller's session is over
local asked = cjson.decode(ARGV[2])
if asked.caller and not is_live(asked.caller) then
  return -1
end
local count = forget_devices(function(id_hash, device)
  if asked.id then
    return device and device.id == asked.id
  end
  return not asked.id_hash or asked.id_hash == id_hash
end)
if count > 0 and asked.activity then
  write_activity(asked.activity)
end
write_for_replicas()
return count
