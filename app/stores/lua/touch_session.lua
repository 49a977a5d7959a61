-- touch_session.lua: note that a session was used, and by which client; one that ended stays ended
-- ARGV[2]   JSON: id_hash, every_s (how seldom the time moves), client (os, platform, form, location, ip; unknown ones absent)
-- Returns   1 where it was noted, 0 where the session is over or was noted lately
local seen = cjson.decode(ARGV[2])
local score = redis.call("ZSCORE", last_used, seen.id_hash)
if is_over(seen.id_hash, score) or call.now - score < seen.every_s then
  return 0
end
redis.call("ZADD", last_used, "XX", call.now, seen.id_hash)
local record = record_of(seen.id_hash)
if record then
  if seen.client.os or seen.client.platform then
    record.os, record.platform, record.form = seen.client.os, seen.client.platform, seen.client.form
  end
  record.location, record.ip = seen.client.location, seen.client.ip
  redis.call("HSET", sessions, seen.id_hash, cjson.encode(record))
end
-- Old addresses go while a user is about, also where nobody looks at the list: the longest unused session is the first.
local first = redis.call("ZRANGE", last_used, 0, 0, "WITHSCORES")
if is_over(first[1], first[2]) then
  finish_expired()
end
forget()
keep()
return 1
