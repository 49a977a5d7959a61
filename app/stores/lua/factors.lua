-- factors.lua: the second factors of a user: list them, judge an answer, remove a factor
-- Runs after session.lua. The script that follows has these KEYS, too
-- KEYS[4]   user, a hash
-- KEYS[5]   backup_codes, a set of keyed hashes
-- Defines   user, backup_codes; factors, has_mfa, judge
local user, backup_codes = KEYS[4], KEYS[5]
local STEP_S = 30

-- Returns the newest step that a clock may accept at a time, where the two clocks differ by as much as may be.
local function newest_step(at, window)
  return math.floor(at / STEP_S) + 2 * window + 1
end

-- is_on    tells whether the user has the factor; then a password alone is no proof
-- accept   judges the evidence (see stores/factors.py) and uses the code up. Returns "right", "last_code" or nothing
-- forget   removes the factor
local factors = {
  totp = {
    is_on = function()
      return redis.call("HEXISTS", user, "totp_secret") == 1
    end,
    accept = function(evidence)  -- a step counts only once, and then no earlier step (RFC 6238, 5.2)
      local kept = tonumber(redis.call("HGET", user, "totp_step") or math.huge)
      -- No code counts by a clock that is ahead of Redis': its step would be kept, and shut the user out until then.
      if kept == math.huge or evidence.step > newest_step(call.earliest, evidence.window) then
        return
      end
      if kept > newest_step(call.latest, evidence.window) then  -- both clocks were ahead; they were set right since
        redis.call("HSET", user, "totp_ahead", kept)
        kept = math.floor(call.latest / STEP_S) + evidence.window  -- whatever is good now may have been used already
        redis.call("HSET", user, "totp_step", kept)
      end
      if evidence.step > kept and evidence.step ~= tonumber(redis.call("HGET", user, "totp_ahead")) then
        redis.call("HSET", user, "totp_step", evidence.step)
        return "right"
      end
    end,
    forget = function()
      redis.call("HDEL", user, "totp_secret", "totp_step", "totp_at", "totp_ahead")
    end,
  },
  backup = {
    is_on = function()  -- backup codes replace a code of a second factor; they are not one themselves
      return false
    end,
    accept = function(evidence)
      for _, hash in ipairs(evidence.code_hashes) do
        if redis.call("SREM", backup_codes, hash) == 1 then
          return redis.call("SCARD", backup_codes) == 0 and "last_code" or "right"
        end
      end
    end,
    forget = function()
      redis.call("DEL", backup_codes)
    end,
  },
}

local function has_mfa()
  for _, factor in pairs(factors) do
    if factor.is_on() then
      return true
    end
  end
  return false
end

-- Judge an answer. A password counts if and only if no second factor is on. Returns "right", "last_code" or "wrong".
local function judge(answer)
  if type(answer.evidence) ~= "table" or has_mfa() == (answer.factor == "password") then
    return "wrong"
  end
  return answer.factor == "password" and "right" or factors[answer.factor].accept(answer.evidence) or "wrong"
end
