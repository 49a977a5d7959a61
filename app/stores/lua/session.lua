-- session.lua: the opening of every script, on the sessions of one user
-- KEYS[1]   last_used, a sorted set: id_hash by last use (Unix s)
-- KEYS[2]   sessions, a hash: id_hash to its record (JSON)
-- KEYS[3]   ended, a sorted set: sessions that ended (JSON) by when (Unix s)
-- ARGV[1]   JSON: user_id, now (Unix s), at (the same, ISO 8601), ttl_s, max_age_s, retention_s, channel
local last_used, sessions, ended = KEYS[1], KEYS[2], KEYS[3]
local call = cjson.decode(ARGV[1])
local KEPT_ENDED = 100

local function record_of(id_hash)
  local record = redis.call("HGET", sessions, id_hash)
  return record and cjson.decode(record)
end

local function began_at(id_hash)
  local record = redis.call("HGET", sessions, id_hash)
  return record and tonumber(string.match(record, '"began_at":(%d+)'))
end

local function is_over(id_hash, score)
  if not score or tonumber(score) <= call.now - call.ttl_s then
    return true
  end
  local began = began_at(id_hash)
  return began and began + call.max_age_s <= call.now
end

local function is_live(id_hash)
  return not is_over(id_hash, redis.call("ZSCORE", last_used, id_hash))
end

local function tell(type, id_hash, reason, old_id_hash)
  redis.call("PUBLISH", call.channel, cjson.encode({
    type = type,
    user_id = call.user_id,
    auth_session_id_hash = id_hash,
    old_auth_session_id_hash = old_id_hash,
    reason = reason or cjson.null,
    at = call.at,
  }))
end

-- The one way a session ends. by: the record (JSON) of the session that ended it, where one did. Records are put into
-- the row as they are: to read and write them again would take longer than all the rest.
local function finish(id_hash, reason, by)
  local record = redis.call("HGET", sessions, id_hash)
  redis.call("ZREM", last_used, id_hash)
  redis.call("HDEL", sessions, id_hash)
  redis.call("ZADD", ended, call.now, table.concat({
    '{"id_hash":"', id_hash, '","reason":"', reason, '","at":"', call.at,
    '","session":', record or "null", ',"by":', by or "null", "}",
  }))
  redis.call("ZREMRANGEBYSCORE", ended, "-inf", call.now - call.retention_s)
  redis.call("ZREMRANGEBYRANK", ended, 0, -KEPT_ENDED - 1)
  redis.call("EXPIRE", ended, call.retention_s)
  tell("AUTH_SESSION_REMOVE", id_hash, reason)
end

local function finish_expired()
  local scored = redis.call("ZRANGE", last_used, 0, -1, "WITHSCORES")
  for i = 1, #scored, 2 do
    if is_over(scored[i], scored[i + 1]) then
      finish(scored[i], "expired")
    end
  end
end

local function finish_others(kept, reason, by)
  for _, id_hash in ipairs(redis.call("ZRANGE", last_used, 0, -1)) do
    if id_hash ~= kept then
      finish(id_hash, reason, by)
    end
  end
end

-- Longer than any session lasts, so that its end by time can be noticed, told and shown.
local function keep()
  redis.call("EXPIRE", last_used, call.ttl_s + call.retention_s)
  redis.call("EXPIRE", sessions, call.ttl_s + call.retention_s)
end
