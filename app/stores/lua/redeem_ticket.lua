-- redeem_ticket.lua: answer a ticket; a right answer uses it up, so do five wrong ones
-- KEYS[4]   ticket, a hash: purpose, session, wrong
-- KEYS[5]   user, a hash
-- KEYS[6]   backup_codes, a set of keyed hashes
-- KEYS[7]   proof, a string, written where one is earned; absent for a login
-- ARGV[2]   JSON: purpose, session (absent for a login; the link of a reset), max_wrong, proof and proof_ttl_s (absent for a login),
--           and the answer: step (a TOTP step whose code was given), code_hashes (forms of a backup code),
--           password (true where it was right)
-- Returns   "right", "last_code" (right, and the last backup code is used up), "wrong", or "unknown" where there is no such ticket for this session
local ticket, user, backup_codes, proof = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local asked = cjson.decode(ARGV[2])

local held = redis.call("HMGET", ticket, "purpose", "session")
if held[1] ~= asked.purpose or held[2] ~= (asked.session or "") then
  return "unknown"
end
if asked.purpose == "step_up" and not is_live(asked.session) then
  return "unknown"
end

local verdict = "right"
local function is_right()
  local has_totp = redis.call("HEXISTS", user, "totp_secret") == 1
  if asked.password then
    return not has_totp
  end
  if not has_totp then
    return false
  end
  if asked.step then
    if asked.step <= tonumber(redis.call("HGET", user, "totp_step")) then
      return false
    end
    redis.call("HSET", user, "totp_step", asked.step)
    return true
  end
  for _, hash in ipairs(asked.code_hashes or {}) do
    if redis.call("SREM", backup_codes, hash) == 1 then
      verdict = redis.call("SCARD", backup_codes) == 0 and "last_code" or verdict
      return true
    end
  end
  return false
end

if is_right() then
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
end
if redis.call("HINCRBY", ticket, "wrong", 1) >= asked.max_wrong then
  redis.call("DEL", ticket)
end
return "wrong"
