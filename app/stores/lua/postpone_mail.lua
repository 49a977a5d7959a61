-- postpone_mail.lua: put a mail that was taken aside until later; one that somebody else was done with stays so
-- KEYS[2]   later, a sorted set: "<entry id> <attempts> <failing_since> <notice>" by when it is due (Unix s)
-- ARGV[2]   JSON: id of the entry, due_at (Unix s), attempts so far, failing_since (Unix s, text)
local asked = cjson.decode(ARGV[2])
local fields = take_out(asked.id)
if fields then  -- the id makes two mails two, whatever they say
  local row = table.concat({ asked.id, asked.attempts, asked.failing_since, fields.notice }, " ")
  redis.call("ZADD", KEYS[2], asked.due_at, row)
end
