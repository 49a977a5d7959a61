-- sign_in_remembered.lua: open a session after a right password without a second factor, if the device is remembered
-- Runs after session.lua, factors.lua, sign_in.lua, remembered.lua and change.lua, which define KEYS[1] to KEYS[8] and
-- ARGV[1]
-- ARGV[2]   JSON: device (see remembered.lua, use_remembered), change (opens the session: see change.lua)
-- Returns   1; 0 if the device is not remembered, or the change is refused
local asked = cjson.decode(ARGV[2])
if find_refusal(asked.change) or not use_remembered(asked.device) then
  return 0
end
apply(asked.change)
return 1
