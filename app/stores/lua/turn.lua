-- turn.lua: a worker's turn: settle the jobs that it has done, and take the next ones
-- Runs after queueing.lua and queue.lua, which define KEYS and ARGV[1]
-- A user has at most one open job. Whatever else waits for them is parked behind it, so that nothing overtakes.
-- ARGV[2]   JSON: now (Unix s), until (how long the worker holds what it takes, Unix s), want (how many jobs), worker (its
--           name), lost_reply (it may hold jobs that it does not know of), early (if no job is due, take one that failed),
--           settled: for each job its user, id, hold, outcome ("done", "postponed", "dead"), attempts, and as needed
--           due_at, failing_since (Unix s) and failure
-- Returns   for each job taken: id, user, hold, attempts, failing_since ("" for none) and content ("" if it has none)
local asked = cjson.decode(ARGV[2])
local LOOKED_AT = 1000  -- how many entries a turn looks at, so that it takes a moment only
local NOTED_EVERY_S = 1  -- else each worker without work would write twice a second, for every replica
local CLOCKS_DIFFER_S = 300  -- at most, between two deliverers: receivers refuse timestamps that are further off
local WIDTH = 20

local function pad(id)
  local ms, number = string.match(id, "^(%d+)%-(%d+)$")
  return string.rep("0", WIDTH - #ms) .. ms .. "-" .. string.rep("0", WIDTH - #number) .. number
end

local function unpad(text)
  return (string.gsub(string.gsub(text, "^0+(%d)", "%1"), "%-0+(%d)", "-%1"))
end

local function open_of(user)
  local row = redis.call("HGET", open, user)
  return row and cjson.decode(row)
end

-- Returns whose job it is. One without a user, as another program may write it, is in nobody's order.
local function user_of(id, fields)
  return string.match(fields.user or "", "^[%w_%-]+$") or id
end

local function open_job(user, id)
  redis.call("HSET", open, user, cjson.encode({ id = id, hold = 0, attempts = 0 }))
  redis.call("ZADD", due, asked.now, user)
end

-- Remove the open job of a user, and open the one behind it.
local function close_job(user, id)
  redis.call("XDEL", waiting, id)
  local behind = redis.call("ZRANGEBYLEX", parked, "[" .. user .. ":", "[" .. user .. ";", "LIMIT", 0, 1)[1]
  if behind then
    redis.call("ZREM", parked, behind)
    open_job(user, unpad(string.sub(behind, #user + 2)))
  else
    redis.call("HDEL", open, user)
    redis.call("ZREM", due, user)
  end
end

local function bury(id, settled)
  local fields = fields_of(id)
  if not fields then
    return
  end
  fields.attempts, fields.failure = settled.attempts, settled.failure
  local row = {}
  for name, value in pairs(fields) do
    table.insert(row, name)
    table.insert(row, value)
  end
  redis.call("XADD", dead, "MAXLEN", "~", call.max_dead, "*", unpack(row))
  redis.call("XTRIM", dead, "MINID", oldest_kept(call.retention_s))
  redis.call("EXPIRE", dead, call.retention_s)
end

local function settle(settled)
  local job = open_of(settled.user)
  if not job or job.id ~= settled.id or job.hold ~= settled.hold then
    return  -- another worker has it by now
  end
  if settled.outcome == "postponed" then
    job.attempts, job.failing_since, job.worker = settled.attempts, settled.failing_since, nil
    job.failure = settled.failure
    redis.call("HSET", open, settled.user, cjson.encode(job))
    redis.call("ZADD", due, settled.due_at, settled.user)
    redis.call("HINCRBY", state, "failed", 1)
    return
  end
  if settled.outcome == "dead" then
    bury(job.id, settled)
    redis.call("HINCRBY", state, "failed", 1)
    redis.call("HINCRBY", state, "given_up", 1)
  else
    redis.call("HINCRBY", state, "delivered", 1)
    redis.call("HDEL", state, "away_since")  -- another process may have noted it, which has no job now
  end
  close_job(settled.user, job.id)
end

local taken = {}

-- Take the open job of a user. If it is gone, as one that was trimmed, take the one behind it.
local function take(user)
  local job = open_of(user)
  while job do
    local fields = fields_of(job.id)
    if fields then
      job.hold, job.worker = job.hold + 1, asked.worker
      redis.call("HSET", open, user, cjson.encode(job))
      redis.call("ZADD", due, asked["until"], user)
      table.insert(taken, {
        job.id, user, job.hold, job.attempts, tostring(job.failing_since or ""), fields[call.field] or "",
      })
      return
    end
    close_job(user, job.id)
    job = open_of(user)
  end
  redis.call("ZREM", due, user)
end

-- Take new jobs, and park those whose user has an open one.
local function look_at_new()
  local began = redis.call("HGET", state, "cursor") or "0-0"
  local cursor = began
  local left = LOOKED_AT
  while #taken < asked.want and left > 0 do
    local count = math.min(left, asked.want == 1 and 10 or 100)
    local entries = redis.call("XRANGE", waiting, "(" .. cursor, "+", "COUNT", count)
    for _, entry in ipairs(entries) do
      if #taken >= asked.want then
        break
      end
      cursor = entry[1]
      local user = user_of(cursor, fields_in(entry))
      local job = open_of(user)
      if not job then
        open_job(user, cursor)
        take(user)
      elseif job.id ~= cursor then
        redis.call("ZADD", parked, 0, user .. ":" .. pad(cursor))
      elseif not redis.call("ZSCORE", due, user) then
        redis.call("ZADD", due, asked.now, user)
      end
    end
    if #entries < count then
      break
    end
    left = left - count
  end
  -- Whatever waits, and is neither open nor behind the cursor, has lost its place: a part of the keys is gone.
  if #taken == 0 and redis.call("ZCARD", due) == 0 and redis.call("XLEN", waiting) > 0 and left > 0 then
    cursor = "0-0"
  end
  local since_noted_s = asked.now - (tonumber(redis.call("HGET", state, "turned_at")) or 0)
  if cursor ~= began or since_noted_s < 0 or since_noted_s >= NOTED_EVERY_S then
    redis.call("HSET", state, "cursor", cursor, "turned_at", asked.now)
  end
end

-- Note that somebody delivers, who takes no job now. A time ahead stays, for who takes the next one.
local function note_turn()
  if asked.now - (tonumber(redis.call("HGET", state, "turned_at")) or 0) >= NOTED_EVERY_S then
    redis.call("HSET", state, "turned_at", asked.now)
  end
end

-- Take the job that is tried again next, although it is not due.
local function take_early()
  for _, user in ipairs(redis.call("ZRANGE", due, 0, LOOKED_AT)) do
    local job = open_of(user)
    if job and not job.worker then
      take(user)
      return
    end
  end
end

-- Let go of what the worker holds.
local function release()
  for _, user in ipairs(redis.call("ZRANGEBYSCORE", due, "(" .. asked.now, "+inf", "LIMIT", 0, 10 * LOOKED_AT)) do
    local job = open_of(user)
    if job and job.worker == asked.worker then
      redis.call("ZADD", due, asked.now, user)
    end
  end
end

-- After a clock was set back, count no time from the former one: what failed is due now, and a hold ends as one from now.
local function cut_future()
  for _, user in ipairs(redis.call("ZRANGEBYSCORE", due, "(" .. asked.now, "+inf", "LIMIT", 0, 10 * LOOKED_AT)) do
    local job = open_of(user)
    redis.call("ZADD", due, job and job.worker and asked["until"] or asked.now, user)
  end
end

for _, settled in ipairs(asked.settled) do
  settle(settled)
end
if asked.lost_reply then
  release()
end
if asked.want > 0 and redis.call("HEXISTS", state, "off_since") == 0 then
  if (tonumber(redis.call("HGET", state, "turned_at")) or 0) > asked.now + CLOCKS_DIFFER_S then
    cut_future()
  end
  for _, user in ipairs(redis.call("ZRANGEBYSCORE", due, "-inf", asked.now, "LIMIT", 0, asked.want)) do
    take(user)
  end
  look_at_new()
  if asked.early and #taken == 0 then
    take_early()
  end
else
  note_turn()
end
return taken
