-- change_user.lua: change a user's record or credentials, and with them the user's sessions, as one step
-- Runs after session.lua, factors.lua, sign_in.lua, remembered.lua and change.lua, which define KEYS[1] to KEYS[8] and
-- ARGV[1]
-- ARGV[2]   JSON: the change, see change.lua
-- Returns   the credentials version after the change; 0 or less if it was refused: see change.lua, find_refusal
local change = cjson.decode(ARGV[2])
return find_refusal(change) or apply(change)
