-- pass_on.lua: take what is to be passed on to queues in other slots, and remove what was passed on
-- KEYS[1]   outbox, a list of rows: see telling.lua
-- KEYS[2]   passing_on, a string: who passes on. One at a time does, so that the order stays
-- ARGV[1]   JSON: by (who asks), held_ms (for how long others wait for them), done (the rows that they have passed on), most
--           (how many rows are taken), ends (true if they take no more)
-- Returns   the first rows; an empty list if there are none, or somebody else passes on
local outbox, passing_on = KEYS[1], KEYS[2]
local asked = cjson.decode(ARGV[1])
local holder = redis.call("GET", passing_on)
if holder and holder ~= asked.by then
  return {}
end
for _, row in ipairs(asked.done) do
  redis.call("LREM", outbox, 1, row)
end
local rows = asked.ends and {} or redis.call("LRANGE", outbox, 0, asked.most - 1)
if #rows > 0 then
  redis.call("SET", passing_on, asked.by, "PX", asked.held_ms)
elseif holder then
  redis.call("DEL", passing_on)
end
return rows
