-- adopt_session.lua: make a session of a token of the service before, if it has never been one
-- Runs after session.lua and sign_in.lua, which define KEYS[1] to KEYS[4] and ARGV[1]
-- ARGV[2]   JSON: id_hash, signed_hash (SHA-256 of what the token's signature signs), issued_at (Unix s), opens (the new
--           session: see sign_in.lua; absent to ask only whether it could be opened)
-- Returns   "adopted"; "live" if it is a session already; else why not: "ended", "unknown_user", "disabled",
--           "before_valid_since", "too_many"
local MOST = 200  -- tokens of one user that are ever adopted, because the user's record has a field for each
local user = KEYS[4]
local asked = cjson.decode(ARGV[2])
-- The mark is a field of the user's record. Whatever loses it loses the user, too, and then nobody is let in.
local mark = "adopted:" .. asked.signed_hash

local function find_obstacle()
  if redis.call("HEXISTS", user, "epoch") == 0 then
    return "unknown_user"
  elseif redis.call("HEXISTS", user, "disabled") == 1 then
    return "disabled"
  elseif redis.call("HEXISTS", user, mark) == 1 then
    return "ended"
  end
  local since = redis.call("HGET", user, "tokens_valid_since")
  if since and not (tonumber(since) and asked.issued_at >= tonumber(since)) then
    return "before_valid_since"
  end
  local count = redis.call("HGET", user, "adopted_tokens")
  return count and (tonumber(count) or MOST) >= MOST and "too_many" or nil
end

local score = redis.call("ZSCORE", last_used, asked.id_hash)
if score and not is_over(asked.id_hash, score) then
  return "live"
end
local obstacle = find_obstacle()
if obstacle then
  return obstacle
end
if asked.opens then
  open_session(asked.opens)
  redis.call("HSET", user, mark, 1)
  redis.call("HINCRBY", user, "adopted_tokens", 1)
end
return "adopted"
