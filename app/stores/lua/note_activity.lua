-- note_activity.lua: write what happened to an account; nothing if there is no such user
-- Runs after session.lua, which defines KEYS[1] to KEYS[3], the last of KEYS and ARGV[1]
-- KEYS[4]   user, a hash
-- ARGV[2]   JSON: row (JSON, see stores/activities.py)
-- Returns   1 if it was written, else 0
if redis.call("EXISTS", KEYS[4]) == 0 then
  return 0
end
write_activity(cjson.decode(ARGV[2]).row)
return 1
