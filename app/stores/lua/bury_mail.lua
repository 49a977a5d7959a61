-- bury_mail.lua: give a mail up that was taken, whatever is in it
-- KEYS[2]   dead, a stream: the fields that the mail had, attempts and failure
-- ARGV[2]   id of the entry
-- ARGV[3]   attempts
-- ARGV[4]   what the last failure was
-- ARGV[5]   the id before which the dead are forgotten
-- ARGV[6]   after how many seconds all are forgotten, if none is added
local fields = take_out(ARGV[2])
if fields then
  fields.attempts, fields.failure = ARGV[3], ARGV[4]
  local row = {}
  for name, value in pairs(fields) do
    table.insert(row, name)
    table.insert(row, value)
  end
  redis.call("XADD", KEYS[2], "MAXLEN", "~", call.max_dead, "*", unpack(row))
  redis.call("XTRIM", KEYS[2], "MINID", ARGV[5])
  redis.call("EXPIRE", KEYS[2], ARGV[6])
end
