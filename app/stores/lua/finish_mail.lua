-- finish_mail.lua: forget a mail that was taken: it was sent, or need not be
-- ARGV[2]   JSON: id of the entry
local id = cjson.decode(ARGV[2]).id
redis.call("XACK", mail, call.group, id)
redis.call("XDEL", mail, id)
