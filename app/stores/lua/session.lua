-- session.lua: the beginning of every script on the sessions of one user
-- Runs after queueing.lua and telling.lua, which define what stands behind activity in KEYS
-- KEYS[1]   last_used, a sorted set: id_hash, scored by last use (Unix s)
-- KEYS[2]   sessions, a hash: id_hash to its record (JSON)
-- KEYS[3]   ended, a sorted set: sessions that ended (JSON), scored by when they ended (Unix s)
-- KEYS[last_key]  activity, a sorted set: what happened to the account (JSON), scored by when (Unix s). In every script it
--           is the last one of KEYS but for the queues
-- ARGV[1]   JSON: see telling.lua; also: now (Unix s; `at` is the same time), earliest and latest (of now and the time of Redis), ttl_s,
--           max_age_s, public_computer_s, retention_s, channel; where there may be leases: leases (the key of their
--           holders, and the channel of rounds), round (the id of this process, and a number; absent if it hears no
--           words), asks_always (read the holders although nothing has ended, because this may repeat an ending)
-- Defines   last_used, sessions, ended, activity, reported, has_ended
--           read   a JSON text that another program may have written
--           record_of, ends_at, is_over, is_of_the_future, is_live   what is known about a session
--           finish, finish_by_time, finish_expired, finish_others, ender   the ways in which sessions end
--           report, forget, keep, write_when_full   an event; the retention; the expiry of the keys; a full Redis
--           write_activity   what happened, for the user to see
--           write_for_replicas   a write for those who wait for replicas
--           ask_holders   a round: see stores/leases/rounds.py
-- Returns   the result of the script that follows; `reported`; `told`; and what ask_holders returns
local last_used, sessions, ended, activity = KEYS[1], KEYS[2], KEYS[3], KEYS[last_key]
local KEPT_ENDED = 100
local KEPT_ACTIVITY = 100
-- How many rows with this text are kept: nobody who only guesses or asks, or proves one thing over and over, pushes out
-- the rest.
local KEPT_OF_A_KIND = { ['"unproved":true'] = 50, ['"kind":"step_up"'] = 25 }
local reported = {}  -- the events of this call; for each: type, id_hash, reason, old_id_hash, by ("" if absent)
local has_ended = false  -- some hash names a session no more

-- Returns a JSON text as a table; nothing if it is none, or lacks a number of this name, so that it is not one of ours.
local function read(text, number)
  local is_json, found = pcall(cjson.decode, text or "")
  return is_json and type(found) == "table" and type(found[number]) == "number" and found or nil
end

local function record_of(id_hash)
  return read(redis.call("HGET", sessions, id_hash), "began_at")
end

-- Returns the hashes that a session had before, the first one first.
local function formers_in(record)
  return record and type(record.formers) == "table" and record.formers or {}
end

-- Returns the Unix seconds when a session with this last use (score) expires or expired. The rule: stores/lifetimes.py.
local function ends_at(id_hash, score)
  local by_idleness = tonumber(score) + call.ttl_s
  local record = redis.call("HGET", sessions, id_hash)
  local began = record and tonumber(string.match(record, '"began_at":(%d+)'))
  if not began then
    return by_idleness
  end
  local is_public = string.find(record, '"on_public_computer":true', 1, true)
  local longest_s = is_public and math.min(call.max_age_s, call.public_computer_s) or call.max_age_s
  local adopted = tonumber(string.match(record, '"adopted_at":(%d+)'))
  if not adopted then
    return math.min(by_idleness, began + longest_s)
  end
  local ends_by = tonumber(string.match(record, '"ends_by":(%d+)'))
  return math.min(by_idleness, adopted + longest_s, ends_by or math.huge)
end

-- A session is over only if the clocks of this process and of Redis say so. One that is ahead ends nothing.
local function is_over(id_hash, score)
  return not score or ends_at(id_hash, score) <= call.earliest
end

-- Tell whether a last use (score) was noted by a clock that was ahead.
local function is_of_the_future(score)
  return tonumber(score) - call.latest >= 60
end

local function is_live(id_hash)
  return not is_over(id_hash, redis.call("ZSCORE", last_used, id_hash))
end

-- Report an event: on the channel, to the calling process and to the queues.
-- by        id_hash of the session that caused the event, if any did
-- formers   of a session that ended: the hashes that it had before, as JSON. The queues alone get them
local function report(type, id_hash, reason, old_id_hash, by, formers)
  local event = cjson.encode({
    type = type,
    user_id = call.user_id,
    auth_session_id_hash = id_hash,
    old_auth_session_id_hash = old_id_hash,
    reason = reason or cjson.null,
    at = call.at,
  })
  redis.call("PUBLISH", call.channel, event)
  local fields = string.sub(event, 2, -2)
  queue_event(type, fields .. (formers and ',"former_auth_session_id_hashes":' .. formers or "") .. "}")
  for _, value in ipairs({ type, id_hash, reason or "", old_id_hash or "", by or "" }) do
    table.insert(reported, value)
  end
end

-- Returns the session that ends others, for rows in `ended`. Call this before the end, because it may end itself.
local function ender(id_hash)
  return { id_hash = id_hash, record = redis.call("HGET", sessions, id_hash) }
end

-- Remove the rows of sessions that ended longer ago than the retention.
local function forget()
  redis.call("ZREMRANGEBYSCORE", ended, "-inf", call.earliest - call.retention_s)
end

local function forget_activity()
  redis.call("ZREMRANGEBYSCORE", activity, "-inf", call.earliest - call.retention_s)
end

-- Remove the oldest rows of activity that have a text, if there are more than so many.
local function keep_activity_of(text, most)
  local found = {}
  for _, row in ipairs(redis.call("ZRANGE", activity, 0, -1)) do
    if string.find(row, text, 1, true) then
      table.insert(found, row)
    end
  end
  for i = 1, #found - most do
    redis.call("ZREM", activity, found[i])
  end
end

-- Write what happened, for the user to see. Endings are not written here, because `ended` has them. row: JSON, see
-- stores/activities.py. Call this after the script's first write, so that a full Redis has refused all of it or nothing.
local function write_activity(row)
  redis.call("ZADD", activity, call.earliest, row)
  redis.call("EXPIRE", activity, call.retention_s)
  for _, early in ipairs(redis.call("ZRANGEBYSCORE", activity, call.latest + 60, "+inf")) do
    redis.call("ZADD", activity, call.latest, early)  -- by clocks that were ahead; it would push out all that comes
  end
  forget_activity()
  for text, most in pairs(KEPT_OF_A_KIND) do
    if string.find(row, text, 1, true) then
      keep_activity_of(text, most)
    end
  end
  redis.call("ZREMRANGEBYRANK", activity, 0, -KEPT_ACTIVITY - 1)
end

-- Returns the hashes that a session had before, as JSON for `report`. Most have had none, and are not decoded for it.
local function formers_of(record)
  local has_some = call.event_id and record and string.find(record, '"formers"', 1, true)
  local formers = has_some and formers_in(read(record, "began_at")) or {}
  return #formers > 0 and cjson.encode(formers) or "[]"
end

-- End a session. Sessions end only here. by: the `ender`, if a session ended this one. The row contains the JSON of the
-- records unchanged, because decoding and encoding would take longer than everything else here.
local function finish(id_hash, reason, by, ended_at)
  local record = redis.call("HGET", sessions, id_hash)
  has_ended = true
  redis.call("ZREM", last_used, id_hash)
  redis.call("HDEL", sessions, id_hash)
  redis.call("ZADD", ended, ended_at or call.now, table.concat({
    '{"id_hash":"', id_hash, '","reason":"', reason, '","session":', record or "null",
    ',"by_id_hash":"', by and by.id_hash or "", '","by":', by and by.record or "null", "}",
  }))
  forget()
  redis.call("ZREMRANGEBYRANK", ended, 0, -KEPT_ENDED - 1)
  redis.call("EXPIRE", ended, call.retention_s)
  report("AUTH_SESSION_REMOVE", id_hash, reason, nil, by and by.id_hash, formers_of(record))
end

local function finish_by_time(id_hash, score)
  finish(id_hash, "expired", nil, ends_at(id_hash, score))
end

local function finish_expired()
  local scored = redis.call("ZRANGE", last_used, 0, -1, "WITHSCORES")
  for i = 1, #scored, 2 do
    if is_over(scored[i], scored[i + 1]) then
      finish_by_time(scored[i], scored[i + 1])
    elseif is_of_the_future(scored[i + 1]) then
      redis.call("ZADD", last_used, call.latest, scored[i])
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

-- Let this script write although Redis is full. A server refuses a script's first write if that may need memory, and lets
-- all pass that follow a removal, also of what is not there. For endings, and for the step-up on the way to one.
local function write_when_full()
  redis.call("ZREM", last_used, "")
end

-- Write something that changes nothing, if this script has ended nothing. Valkey and later Redis count the replicas that
-- have what the connection wrote last, so without a write they would confirm an earlier ending that no replica has.
local function write_for_replicas()
  if #reported == 0 then
    redis.call("EXPIRE", ended, call.retention_s)
  end
end

-- Let the keys expire later than any session, so that its expiry can be noticed, reported and shown.
local function keep()
  redis.call("EXPIRE", last_used, call.ttl_s + call.retention_s)
  redis.call("EXPIRE", sessions, call.ttl_s + call.retention_s)
end

-- Read who holds leases, if something has ended, and ask them for their word. Returns their ids and registrations in
-- turn; false if they cannot be read; nothing if nothing has ended. Whoever lacks the rights to it still ends sessions.
local function ask_holders()
  if not call.leases or not (has_ended or call.asks_always) then
    return
  end
  local holders = redis.pcall("HGETALL", call.leases)
  if holders.err then
    return false
  elseif call.round and #holders > 0 then
    redis.pcall("PUBLISH", call.leases, call.round)
  end
  return holders
end
