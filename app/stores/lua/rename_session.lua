-- rename_session.lua: give a session the name that its user chose, or remove it
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- ARGV[2]   JSON: id_hash, caller (id_hash of the session that asks), name (absent to remove it)
-- Returns   1; 0 if there is no such session; -1 if the caller's session is over
local asked = cjson.decode(ARGV[2])
if not is_live(asked.caller) then
  return -1
end
if not is_live(asked.id_hash) then
  return 0
end
-- If a session's record was lost, it gets a new record. Its beginning is then the last use, as in the list of sessions.
local record = record_of(asked.id_hash) or { began_at = math.floor(redis.call("ZSCORE", last_used, asked.id_hash)) }
record.name = asked.name
redis.call("HSET", sessions, asked.id_hash, cjson.encode(record))
keep()
return 1
