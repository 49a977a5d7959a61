-- mail.lua: the opening of every script on the mails to be sent
-- KEYS[1]   mail, a stream: mails that are due
-- ARGV[1]   JSON: group (who takes them), max_queued and max_dead (how many are kept, about)
local mail = KEYS[1]
local call = cjson.decode(ARGV[1])

-- A mail that a worker has taken, out of the stream: its fields, or nothing where somebody was faster.
local function take_out(entry_id)
  local entry = redis.call("XRANGE", mail, entry_id, entry_id)[1]
  if redis.call("XACK", mail, call.group, entry_id) == 0 or not entry then
    return nil
  end
  redis.call("XDEL", mail, entry_id)
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields
end

-- What follows the notice are further fields and their values.
local function queue(attempts, notice, ...)
  redis.call("XADD", mail, "MAXLEN", "~", call.max_queued, "*", "attempts", attempts, "notice", notice, ...)
end
