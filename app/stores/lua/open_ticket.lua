-- open_ticket.lua: write a ticket; a session keeps only its newest tickets
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   ticket, a hash
-- KEYS[5]   tickets of the session, a list of id_hashes, newest first
-- ARGV[2]   JSON: id_hash, ticket (its fields), ttl_s, cap (on the tickets of a session)
-- Returns   id_hashes of the tickets above the cap, for the caller to delete; their keys are not in KEYS
local ticket, given = KEYS[4], KEYS[5]
local new = cjson.decode(ARGV[2])
if new.ticket.purpose == "step_up" then
  write_when_full()
end
for field, value in pairs(new.ticket) do
  redis.call("HSET", ticket, field, value)
end
redis.call("EXPIRE", ticket, new.ttl_s)
if new.ticket.session == "" then
  return {}
end
redis.call("LPUSH", given, new.id_hash)
local superseded = redis.call("LRANGE", given, new.cap, -1)
redis.call("LTRIM", given, 0, new.cap - 1)
redis.call("EXPIRE", given, new.ttl_s)
return superseded
