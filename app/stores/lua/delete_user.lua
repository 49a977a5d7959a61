-- delete_user.lua: remove the record of a user whose other keys are gone
-- Runs after queueing.lua and telling.lua, which define ARGV[1]
-- KEYS[1]   user, a hash
-- Returns   1; 0 if there was no such user
local removed = redis.call("DEL", KEYS[1])
if removed == 1 then
  tell("user.deleted")
end
return removed
