-- finish_expired.lua: end the expired sessions of a user, and forget what happened long ago
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- Returns   1
finish_expired()
forget()
forget_activity()
return 1
