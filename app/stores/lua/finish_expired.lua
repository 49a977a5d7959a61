-- finish_expired.lua: end the expired sessions of a user, and forget sessions that ended long ago
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- Returns   1
finish_expired()
forget()
return 1
