-- session.lua: what every script on the sessions of one user begins with
-- KEYS[1]   last_used, a sorted set: id_hash by last use (Unix s)
-- KEYS[2]   sessions, a hash: id_hash to its record (JSON)
-- KEYS[3]   ended, a sorted set: sessions that ended (JSON) by when (Unix s)
-- ARGV[1]   JSON: user_id, now (Unix s), at (the same, ISO 8601), ttl_s, max_age_s, retention_s, channel
-- Defines   last_used, sessions, ended, call (ARGV[1]); record_of, is_over, is_live, ender; finish, finish_by_time,
--           finish_expired, finish_others (the ways a session ends); forget, keep; report (an event)
-- Returns   what the script returns, and `reported`
local last_used, sessions, ended = KEYS[1], KEYS[2], KEYS[3]
local call = cjson.decode(ARGV[1])
local KEPT_ENDED = 100
local reported = {}  -- the events of this call, five values each: type, id_hash, reason, old_id_hash, by; "" for none

local function record_of(id_hash)
  local record = redis.call("HGET", sessions, id_hash)
  return record and cjson.decode(record)
end

local function began_at(id_hash)
  local record = redis.call("HGET", sessions, id_hash)
  return record and tonumber(string.match(record, '"began_at":(%d+)'))
end

-- When a session with this last use ends, or has ended, by time.
local function ends_at(id_hash, score)
  local by_idleness = tonumber(score) + call.ttl_s
  local began = began_at(id_hash)
  return began and math.min(by_idleness, began + call.max_age_s) or by_idleness
end

local function is_over(id_hash, score)
  return not score or ends_at(id_hash, score) <= call.now
end

local function is_live(id_hash)
  return not is_over(id_hash, redis.call("ZSCORE", last_used, id_hash))
end

-- Report what happened: on the channel to who listens now, and to the process that called. by: id_hash of the session
-- that did it, where one did.
local function report(type, id_hash, reason, old_id_hash, by)
  redis.call("PUBLISH", call.channel, cjson.encode({
    type = type,
    user_id = call.user_id,
    auth_session_id_hash = id_hash,
    old_auth_session_id_hash = old_id_hash,
    reason = reason or cjson.null,
    at = call.at,
  }))
  for _, value in ipairs({ type, id_hash, reason or "", old_id_hash or "", by or "" }) do
    table.insert(reported, value)
  end
end

-- The session that ends others, as rows of what it ended name it; looked up before it may end itself.
local function ender(id_hash)
  return { id_hash = id_hash, record = redis.call("HGET", sessions, id_hash) }
end

-- Rows of what ended so long ago that it is told of no more.
local function forget()
  redis.call("ZREMRANGEBYSCORE", ended, "-inf", call.now - call.retention_s)
end

-- The one way a session ends. by: the `ender`, where a session ended it. Records are put into the row as they are: to
-- read and write them again would take longer than all the rest.
local function finish(id_hash, reason, by, ended_at)
  local record = redis.call("HGET", sessions, id_hash)
  redis.call("ZREM", last_used, id_hash)
  redis.call("HDEL", sessions, id_hash)
  redis.call("ZADD", ended, ended_at or call.now, table.concat({
    '{"id_hash":"', id_hash, '","reason":"', reason, '","session":', record or "null",
    ',"by_id_hash":"', by and by.id_hash or "", '","by":', by and by.record or "null", "}",
  }))
  forget()
  redis.call("ZREMRANGEBYRANK", ended, 0, -KEPT_ENDED - 1)
  redis.call("EXPIRE", ended, call.retention_s)
  report("AUTH_SESSION_REMOVE", id_hash, reason, nil, by and by.id_hash)
end

local function finish_by_time(id_hash, score)
  finish(id_hash, "expired", nil, ends_at(id_hash, score))
end

local function finish_expired()
  local scored = redis.call("ZRANGE", last_used, 0, -1, "WITHSCORES")
  for i = 1, #scored, 2 do
    if is_over(scored[i], scored[i + 1]) then
      finish_by_time(scored[i], scored[i + 1])
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
