-- end_by_link.lua: end the session that a link from a mail names, and use the link up
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   links of the user, a hash: id_hash of the link's secret to its record (JSON)
-- KEYS[5]   moved, a hash: former id_hash of a session to its present id_hash
-- ARGV[2]   JSON: id_hash of the link's secret
-- Returns   the record of the session that ended (JSON); "" if the session has no record or is over already;
--           0 if there is no such link, or it has expired
local links, moved = KEYS[4], KEYS[5]
local asked = cjson.decode(ARGV[2])
local link = read(redis.call("HGET", links, asked.id_hash), "expires_at")
if not link or link.purpose ~= "not_me" or link.expires_at <= call.now then
  return 0
end
redis.call("HDEL", links, asked.id_hash)
local session = link.session
while session do
  if is_live(session) then
    local ended = redis.call("HGET", sessions, session)
    finish(session, "revoked")
    return ended or ""
  end
  session = redis.call("HGET", moved, session)
end
return ""
