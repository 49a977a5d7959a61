-- open_ticket.lua: write a ticket; a session has a number of open tickets at most
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   ticket, a hash
-- KEYS[5]   open_tickets of the session, a sorted set: id_hashes, scored by when they expire (Unix s)
-- ARGV[2]   JSON: id_hash, ticket (its fields), ttl_s, cap (on the open tickets of a session)
-- Returns   id_hash of a ticket above the cap, for the caller to delete, "" if there is none; its key is not in KEYS
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
  return ""
end
redis.call("ZREMRANGEBYSCORE", given, "-inf", call.now)
-- The youngest one makes room, so that whoever answers an older one can do so whatever else the session asks meanwhile.
local superseded = ""
if redis.call("ZCARD", given) >= new.cap then
  superseded = redis.call("ZREVRANGE", given, 0, 0)[1]
  redis.call("ZREM", given, superseded)
end
redis.call("ZADD", given, call.now + new.ttl_s, new.id_hash)
redis.call("EXPIRE", given, new.ttl_s)
return superseded
