-- redeem_ticket.lua: judge the answer to a ticket; a right answer uses the ticket up, and so do max_wrong wrong answers
-- Runs after session.lua, factors.lua, sign_in.lua, remembered.lua and change.lua, which define KEYS[1] to KEYS[8] and
-- ARGV[1]
-- KEYS[9]   ticket, a hash: purpose, session, wrong
-- KEYS[10]  proof, a string, written after a right answer; absent for a login and a reset
-- ARGV[2]   JSON: purpose, session (for a reset the id_hash of its link; absent for a login), max_wrong, proof and
--           proof_ttl_s (absent for a login and a reset), answer (factor, evidence: see factors.lua), change (made after
--           a right answer; absent for a step-up: see change.lua), activity (rows, see stores/activities.py: right,
--           absent where a session is opened; wrong)
-- Returns   "right"; "last_code" (right, and it was the last backup code); "wrong"; "stale_counter" (wrong, because
--           the passkey's counter did not grow); "unknown" if there is no such ticket for this session, or its change is
--           refused
local ticket, proof = KEYS[9], KEYS[10]
local asked = cjson.decode(ARGV[2])

local held = redis.call("HMGET", ticket, "purpose", "session")
if held[1] ~= asked.purpose or held[2] ~= (asked.session or "") then
  return "unknown"
end
if asked.purpose == "step_up" and not is_live(asked.session) then
  return "unknown"
end
if asked.change and find_refusal(asked.change) then
  return "unknown"
end

if asked.purpose == "step_up" then
  write_when_full()
else  -- the first write, so that a full Redis refuses all of it: a backup code would be removed, which it lets pass
  redis.call("HSET", ticket, "purpose", asked.purpose)
end
local verdict = judge(asked.answer)
if verdict == "wrong" or verdict == "stale_counter" then
  if redis.call("HINCRBY", ticket, "wrong", 1) >= asked.max_wrong then
    redis.call("DEL", ticket)
  end
  write_activity(asked.activity.wrong)
  return verdict
end
redis.call("DEL", ticket)
if asked.activity.right then
  write_activity(asked.activity.right)
end
if asked.proof then
  local version = redis.call("HGET", user, "secrets_version") or "0"
  redis.call("SET", proof, asked.proof .. " " .. version, "EX", asked.proof_ttl_s)
  local record = record_of(asked.session)
  if record then
    record.proved_at = math.floor(call.now)
    redis.call("HSET", sessions, asked.session, cjson.encode(record))
  end
end
if asked.change then
  apply(asked.change)
end
return verdict
