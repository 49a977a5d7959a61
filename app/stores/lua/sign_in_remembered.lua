-- sign_in_remembered.lua: open a session after a right password without a second factor, if the device is remembered
-- Runs after session.lua, factors.lua, sign_in.lua, remembered.lua and change.lua, which define KEYS[1] to KEYS[8] and
-- ARGV[1]
-- ARGV[2]   JSON: device (see remembered.lua, use_remembered), change (opens the session: see change.lua)
-- Returns   1; 0 if the device is not remembered, or the change is refused
local asked = cjson.decode(ARGV[2])
if find_refusal(asked.change) then
  return 0
end
local device = use_remembered(asked.device)
if not device then
  return 0
end
-- As a text, because encoding it anew would escape what is searched for in it: see sign_in.lua, finish_of_attempt.
local opens = asked.change.opens
opens.record = string.sub(opens.record, 1, -2) .. ',"remembered":"' .. device.id .. '"}'
apply(asked.change)
return 1
