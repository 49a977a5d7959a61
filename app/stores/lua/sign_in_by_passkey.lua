-- sign_in_by_passkey.lua: judge a passkey that is both factors, and open the session of a right answer
-- Runs after session.lua, factors.lua, sign_in.lua, remembered.lua and change.lua, which define KEYS[1] to KEYS[8] and
-- ARGV[1]
-- ARGV[2]   JSON: answer (factor, evidence: see factors.lua), change (made after a right answer: see change.lua),
--           refused (a row of activity for a wrong answer: see stores/activities.py)
-- Returns   "right"; "wrong"; "stale_counter" (wrong, because the passkey's counter did not grow); "unknown" if the
--           change is refused
local asked = cjson.decode(ARGV[2])
if find_refusal(asked.change) then
  return "unknown"
end
local verdict = judge(asked.answer)
if verdict == "right" then
  apply(asked.change)
else
  write_activity(asked.refused)
end
return verdict
