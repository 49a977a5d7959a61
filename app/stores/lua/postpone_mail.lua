-- postpone_mail.lua: put a mail that was taken aside until later; one that somebody else was done with stays so
-- KEYS[2]   later, a sorted set: "<entry id> <attempts> <queued_at> <notice>" by when it is due (Unix s)
-- ARGV[2]   id of the entry
-- ARGV[3]   when it is due (Unix s)
-- ARGV[4]   attempts so far
local fields = take_out(ARGV[2])
if fields then  -- the id makes two mails two, whatever they say
  redis.call("ZADD", KEYS[2], ARGV[3], table.concat({ ARGV[2], ARGV[4], fields.queued_at, fields.notice }, " "))
end
