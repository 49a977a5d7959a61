-- end_by_link.lua: end the session that a link from a mail names, forget remembered devices, and use the link up
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- KEYS[4]   links of the user, a hash: id_hash of the link's secret to its record (JSON)
-- KEYS[5]   remembered devices of the user, a hash
-- ARGV[2]   JSON: id_hash of the link's secret
-- Returns   the record of the session that ended (JSON); "" if the session has no record or is over already;
--           0 if there is no such link, or it has expired
local links = KEYS[4]

-- Returns the present hash of a session, which may have had another when the link was made; nil if it is over.
local function find_live(id_hash)
  if is_live(id_hash) then
    return id_hash
  end
  for _, present in ipairs(redis.call("ZRANGE", last_used, 0, -1)) do
    for _, former in ipairs(formers_in(record_of(present))) do
      if former == id_hash and is_live(present) then
        return present
      end
    end
  end
end

local asked = cjson.decode(ARGV[2])
local link = read(redis.call("HGET", links, asked.id_hash), "expires_at")
if not link or link.purpose ~= "not_me" or link.expires_at <= call.now then
  write_for_replicas()
  return 0
end
redis.call("HDEL", links, asked.id_hash)
redis.call("DEL", KEYS[5])  -- whoever signed in may have had the device remembered
local session = find_live(link.session)
local ended = session and redis.call("HGET", sessions, session)
if session then
  finish(session, "revoked")
end
return ended or ""
