-- touch_session.lua: note that a session was used, and by which client; a session that ended stays ended
-- Runs after session.lua, which defines KEYS[1] to KEYS[3] and ARGV[1]
-- ARGV[2]   JSON: id_hash, every_s (a use within this time after the last one is not noted), client (os, platform,
--           program, device, form, told, location or place, ip; unknown fields absent)
-- Returns   1 if it was noted; 0 if the session is over or was noted less than every_s ago
local seen = cjson.decode(ARGV[2])
local score = redis.call("ZSCORE", last_used, seen.id_hash)
-- rules/checks.py (is_touch_due) has checked every_s before, to save a trip. It is checked again here, so that only
-- one of several simultaneous requests writes. The value is TOUCH_EVERY_S in stores/sessions.py.
if score and is_over(seen.id_hash, score) then  -- by a setting that is shorter than it was
  finish_by_time(seen.id_hash, score)
  return 0
end
if not score or (call.now - score < seen.every_s and not is_of_the_future(score)) then
  return 0
end
redis.call("ZADD", last_used, "XX", call.now, seen.id_hash)
local record = record_of(seen.id_hash)
if record then
  local client = seen.client
  local is_nobody = not (client.os or client.platform or client.program or client.device)
  -- What properties said stays until properties say otherwise. A library for HTTP is no device, and replaces none.
  local is_less = (record.told and not client.told)
    or (client.form == "program" and record.form ~= "program" and (record.os or record.form or record.device))
  if not is_nobody and not is_less then
    record.os, record.platform, record.program = client.os, client.platform, client.program
    record.device, record.form, record.told = client.device, client.form, client.told
  end
  record.location, record.place, record.ip = seen.client.location, seen.client.place, seen.client.ip
  record.attempt = nil  -- a minute after the sign-in nobody sends its form a second time
  redis.call("HSET", sessions, seen.id_hash, cjson.encode(record))
end
-- Old sessions and their addresses are removed while the user is active, even if nobody opens the list. The first
-- session is the least recently used one.
local first = redis.call("ZRANGE", last_used, 0, 0, "WITHSCORES")
if is_over(first[1], first[2]) then
  finish_expired()
end
forget()
forget_activity()
keep()
return 1
