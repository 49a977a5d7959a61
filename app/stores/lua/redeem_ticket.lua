-- redeem_ticket.lua: answer a ticket; a right answer uses it up, so do five wrong ones
-- Runs after session.lua and factors.lua
-- KEYS[6]   ticket, a hash: purpose, session, wrong
-- KEYS[7]   proof, a string, written where one is earned; absent for a login
-- ARGV[2]   JSON: purpose, session (absent for a login; the link of a reset), max_wrong, proof and proof_ttl_s (absent for
--           a login), answer (factor, evidence: see factors.lua)
-- Returns   "right", "last_code" (right, and the last backup code is used up), "wrong", or "unknown" where there is no such
--           ticket for this session
local ticket, proof = KEYS[6], KEYS[7]
local asked = cjson.decode(ARGV[2])

local held = redis.call("HMGET", ticket, "purpose", "session")
if held[1] ~= asked.purpose or held[2] ~= (asked.session or "") then
  return "unknown"
end
if asked.purpose == "step_up" and not is_live(asked.session) then
  return "unknown"
end

local verdict = judge(asked.answer)
if verdict == "wrong" then
  if redis.call("HINCRBY", ticket, "wrong", 1) >= asked.max_wrong then
    redis.call("DEL", ticket)
  end
  return verdict
end
redis.call("DEL", ticket)
if asked.proof then
  redis.call("SET", proof, asked.proof, "EX", asked.proof_ttl_s)
  local record = record_of(asked.session)
  if record then
    record.proved_at = math.floor(call.now)
    redis.call("HSET", sessions, asked.session, cjson.encode(record))
  end
end
return verdict
