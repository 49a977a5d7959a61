-- open_link.lua: write a link for a mail, and remove expired links
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   links of the user, a hash: id_hash of the link's secret to its record (JSON)
-- ARGV[2]   JSON: id_hash, record (JSON)
-- Returns   1
local links = KEYS[4]
local new = cjson.decode(ARGV[2])
local latest = cjson.decode(new.record).expires_at
local held = redis.call("HGETALL", links)
for i = 1, #held, 2 do
  local link = read(held[i + 1], "expires_at")
  if not link or link.expires_at <= call.earliest then
    redis.call("HDEL", links, held[i])
  else
    latest = math.max(latest, link.expires_at)
  end
end
redis.call("HSET", links, new.id_hash, new.record)
redis.call("EXPIRE", links, math.ceil(latest - call.now))
return 1
