-- factors.lua: the second factors of a user: which there are, whether an answer is right, and how one is taken away
-- Runs after session.lua, before a script whose KEYS[4] and KEYS[5] are these
-- KEYS[4]   user, a hash
-- KEYS[5]   backup_codes, a set of keyed hashes
-- Defines   user, backup_codes; factors, has_mfa, judge
local user, backup_codes = KEYS[4], KEYS[5]

-- is_on    whether the user has it, so that a password alone proves nothing
-- accept   judges what stores/factors.py calls evidence, and uses it up. Returns "right", "last_code", or nothing
-- forget   takes it away
local factors = {
  totp = {
    is_on = function()
      return redis.call("HEXISTS", user, "totp_secret") == 1
    end,
    accept = function(evidence)  -- a step counts once, for ever (RFC 6238, 5.2)
      if evidence.step > tonumber(redis.call("HGET", user, "totp_step") or math.huge) then
        redis.call("HSET", user, "totp_step", evidence.step)
        return "right"
      end
    end,
    forget = function()
      redis.call("HDEL", user, "totp_secret", "totp_step", "totp_at")
    end,
  },
  backup = {
    is_on = function()  -- codes stand in for a second factor, and are none by themselves
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

-- Judge an answer: the password where there is no second factor, and then alone. Returns "right", "last_code" or "wrong".
local function judge(answer)
  if type(answer.evidence) ~= "table" or has_mfa() == (answer.factor == "password") then
    return "wrong"
  end
  return answer.factor == "password" and "right" or factors[answer.factor].accept(answer.evidence) or "wrong"
end
