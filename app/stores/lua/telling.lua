-- telling.lua: what a script tells others by queues: mails to the user, and events to systems (see stores/outbox.py)
-- Runs after queueing.lua. Behind the other KEYS are the streams of the queues, in the order of `queues`. In a Cluster
-- they are in other slots: there the last one of KEYS is
-- KEYS[#KEYS]  outbox, a list: "<stream> <field> <user id> <content>" of each job that is to be passed on
-- ARGV[1]   JSON: user_id, at (ISO 8601); where somebody is to be told: queues, for each its stream, field, max (about how
--           many jobs may wait), in_order (jobs of a user are done in order), takes (the types of events as names; absent for all); event_id (the beginning of the ids of
--           events; absent if no queue takes any), has_outbox (in a Cluster)
-- Defines   call (ARGV[1]), last_key (the number of the last one of KEYS that is none of these), queue_event, tell,
--           queue_notices, told
local call = cjson.decode(ARGV[1])
local queues = call.queues or {}
local last_key = #KEYS - (call.has_outbox and 1 or #queues)
local KEPT_IN_OUTBOX = 1000
local KEPT_IN_OUTBOX_S = 7 * 24 * 3600
local event_count = 0
local told = { 0 }  -- how many jobs this script has put somewhere; behind it for each queue how many are lost

for _ = 1, #queues do
  table.insert(told, 0)
end

-- Put a job where others find it. Returns how many are lost by it.
local function put(at, content)
  local queue = queues[at]
  local user_id = queue.in_order and call.user_id or ""
  if not call.has_outbox then
    return queue_job(KEYS[last_key + at], queue.field, content, user_id, queue.max)
  end
  local outbox = KEYS[#KEYS]
  local count = redis.call("RPUSH", outbox, table.concat({ queue.stream, queue.field, user_id, content }, " "))
  redis.call("EXPIRE", outbox, KEPT_IN_OUTBOX_S)
  redis.call("LTRIM", outbox, -KEPT_IN_OUTBOX, -1)
  return math.max(0, count - KEPT_IN_OUTBOX)
end

-- Queue a job. What a script does must not fail because nobody can be told of it, as where a stream is another
-- application's.
local function queue_or_lose(at, content)
  local is_put, lost = pcall(put, at, content)
  told[1] = told[1] + (is_put and 1 or 0)
  told[1 + at] = told[1 + at] + (is_put and lost or 1)
end

-- Queue an event wherever its type is taken. Call this after the script's first write, so that a full Redis has refused
-- all of it or nothing.
-- rest   the event's JSON behind its id
local function queue_event(type, rest)
  if not call.event_id then
    return
  end
  event_count = event_count + 1
  local content = '{"id":"' .. call.event_id .. "_" .. event_count .. '",' .. rest
  for at, queue in ipairs(queues) do
    if not queue.takes or queue.takes[type] then
      queue_or_lose(at, content)
    end
  end
end

-- Queue an event that is not on the channel.
-- fields   those that it has beside id, type, user_id and at; none if absent
local function tell(type, fields)
  local head = '"type":"' .. type .. '","user_id":"' .. call.user_id .. '","at":"' .. call.at .. '"'
  queue_event(type, head .. (fields and "," .. string.sub(cjson.encode(fields), 2) or "}"))
end

-- Queue mails to the user, in the language of this moment.
-- user      the key of the user's record
-- notices   for each its JSON without the language (see stores/mail.py); none if absent
local function queue_notices(user, notices)
  for at, queue in ipairs(queues) do
    for _, notice in ipairs(queue.field == "notice" and notices or {}) do
      local language = redis.call("HGET", user, "language") or ""
      queue_or_lose(at, string.sub(notice, 1, -2) .. ',"language":' .. cjson.encode(language) .. "}")
    end
  end
end
