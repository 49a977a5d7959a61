-- sign_in.lua: how a session is opened, for the scripts that open one
-- Runs after session.lua. The script that follows has this KEY, too
-- KEYS[4]   user, a hash
-- Defines   may_open, come_back, open_session. A new session: id_hash, record (JSON), cap (if the user has more sessions,
--           the least recently used ones end), attempt (absent if no form asks: see NewSession in
--           stores/session_records.py)

-- Tell whether a user has disabled or deleted the account themselves, and is not due for deletion. Whom an operator has
-- disabled, only operators bring back.
local function may_come_back()
  local left = redis.call("HGET", KEYS[4], "left")
  return left == "disabled"
    or left == "deleted" and (tonumber(redis.call("HGET", KEYS[4], "delete_at")) or 0) > call.earliest
end

-- Tell whether a login may still open a session: its user has the credentials version that it began with, and is not
-- disabled.
-- comes_back   the login takes it back that the user has left
local function may_open(credentials_version, comes_back)
  if redis.call("HGET", KEYS[4], "epoch") ~= credentials_version then
    return false
  end
  return redis.call("HEXISTS", KEYS[4], "disabled") == 0 or comes_back and may_come_back()
end

-- Take it back that a user has left. Only where `may_open` has judged.
-- new      the session that is opened by it, if one is
-- by       "user" or "link"
-- notice   a mail that tells of it (JSON: see telling.lua), if one is sent
local function come_back(new, by, notice)
  if redis.call("HEXISTS", KEYS[4], "left") == 0 then
    return
  end
  redis.call("HDEL", KEYS[4], "disabled", "left", "delete_at")
  if new then
    write_activity('{"kind":"came_back","session":"' .. new.id_hash .. '","client":' .. new.record .. "}")
  end
  tell("user.enabled", { by = by })
  queue_notices(KEYS[4], { notice })
end

-- End the session that the same form has opened before: it was sent twice, and the browser keeps the last answer alone.
local function finish_of_attempt(attempt)
  local mark = '"attempt":"' .. attempt .. '"'
  for _, id_hash in ipairs(redis.call("ZRANGE", last_used, 0, -1)) do
    local record = redis.call("HGET", sessions, id_hash)
    if record and string.find(record, mark, 1, true) then
      finish(id_hash, "logout", ender(id_hash))
    end
  end
end

local function open_session(new)
  finish_expired()
  if new.attempt then
    finish_of_attempt(new.attempt)
  end
  while redis.call("ZCARD", last_used) >= new.cap do
    finish(redis.call("ZRANGE", last_used, 0, 0)[1], "evicted")
  end
  redis.call("ZADD", last_used, call.now, new.id_hash)
  redis.call("HSET", sessions, new.id_hash, new.record)
  keep()
  write_activity('{"kind":"signed_in","session":"' .. new.id_hash .. '","client":' .. new.record .. "}")
  report("AUTH_SESSION_CREATE", new.id_hash)
end
