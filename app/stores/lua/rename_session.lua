-- rename_session.lua: give a session a name of its user's own, or take it away
-- ARGV[2]   JSON: id_hash, caller (id_hash of the session that asks), name (absent: none)
-- Returns   1; 0 where there is no such session; -1 where the caller's own session is over
local asked = cjson.decode(ARGV[2])
if not is_live(asked.caller) then
  return -1
end
if not is_live(asked.id_hash) then
  return 0
end
-- A session whose record was lost gets one, as the list shows it.
local record = record_of(asked.id_hash) or { began_at = math.floor(redis.call("ZSCORE", last_used, asked.id_hash)) }
record.name = asked.name
redis.call("HSET", sessions, asked.id_hash, cjson.encode(record))
keep()
return 1
