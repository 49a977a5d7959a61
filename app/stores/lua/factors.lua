-- factors.lua: the second factors of a user: list them, judge an answer, remove a factor
-- Runs after session.lua. The script that follows has these KEYS, too
-- KEYS[4]   user, a hash
-- KEYS[5]   backup_codes, a set of keyed hashes
-- KEYS[6]   passkeys, a hash: credential id to record (JSON, see stores/passkeys.py)
-- Defines   user, backup_codes, passkeys; passkey_of, count_passkeys, report_passkey, remove_passkey; factors, has_mfa,
--           judge
local user, backup_codes, passkeys = KEYS[4], KEYS[5], KEYS[6]
local WEBAUTHN = 1  -- Discord's number for this type of authenticator

local function passkey_of(cred_id)
  return read(redis.call("HGET", passkeys, cred_id), "sign_count")
end

local function count_passkeys()
  return #redis.call("HGETALL", passkeys) / 2
end

-- Report an event about a passkey: on the channel, and to the queues under the name that they know.
local function report_passkey(type, name, passkey)
  local authenticator = { id = passkey.id, type = WEBAUTHN, name = passkey.name }
  redis.call("PUBLISH", call.channel, cjson.encode({
    type = type,
    user_id = call.user_id,
    authenticator = authenticator,
    at = call.at,
  }))
  tell(name, { authenticator = authenticator })
end

local function remove_passkey(cred_id)
  local passkey = passkey_of(cred_id)
  redis.call("HDEL", passkeys, cred_id)
  if passkey then
    report_passkey("AUTHENTICATOR_DELETE", "authenticator.deleted", passkey)
  end
end

-- Returns the newest step that a clock may accept at a time, where the two clocks differ by as much as may be.
local function newest_step(at, evidence)
  return math.floor(at / evidence.period_s) + 2 * evidence.window + 1
end

-- is_on    tells whether the user has the factor; then a password alone is no proof
-- accept   judges the evidence (see stores/factors.py) and uses the code up. Returns "right", "last_code",
--          "stale_counter" or nothing
-- forget   removes the factor
local factors = {
  webauthn = {
    is_on = function()
      return redis.call("EXISTS", passkeys) == 1
    end,
    accept = function(evidence)
      local passkey = passkey_of(evidence.cred_id)
      if not passkey or passkey.id ~= evidence.id then
        return
      end
      -- A counter that does not grow is that of a copy. One that is 0 for ever is none (WebAuthn 3, 7.2, step 22).
      local has_counter = passkey.sign_count > 0 or evidence.sign_count > 0
      if has_counter and evidence.sign_count <= passkey.sign_count then
        return "stale_counter"
      end
      passkey.sign_count = evidence.sign_count
      passkey.last_used_at = call.now
      redis.call("HSET", passkeys, evidence.cred_id, cjson.encode(passkey))
      return "right"
    end,
    forget = function()
      local held = redis.call("HGETALL", passkeys)
      for i = 1, #held, 2 do
        remove_passkey(held[i])
      end
    end,
  },
  totp = {
    is_on = function()
      return redis.call("HEXISTS", user, "totp_secret") == 1
    end,
    accept = function(evidence)  -- a step counts only once, and then no earlier step (RFC 6238, 5.2)
      local kept = tonumber(redis.call("HGET", user, "totp_step") or math.huge)
      -- No code counts by a clock that is ahead of Redis': its step would be kept, and shut the user out until then.
      if kept == math.huge or evidence.step > newest_step(call.earliest, evidence) then
        return
      end
      if kept > newest_step(call.latest, evidence) then  -- both clocks were ahead; they were set right since
        redis.call("HSET", user, "totp_ahead", kept)
        kept = math.floor(call.latest / evidence.period_s) + evidence.window  -- whatever is good now may have been used already
        redis.call("HSET", user, "totp_step", kept)
      end
      if evidence.step > kept and evidence.step ~= tonumber(redis.call("HGET", user, "totp_ahead")) then
        redis.call("HSET", user, "totp_step", evidence.step)
        return "right"
      end
    end,
    forget = function()
      redis.call("HDEL", user, "totp_secret", "totp_step", "totp_since", "totp_at", "totp_ahead")
      redis.call("HDEL", user, "totp_algorithm", "totp_digits", "totp_period")
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

-- Judge an answer. A password counts if and only if no second factor is on. Returns "right", "last_code",
-- "stale_counter" (the passkey's counter did not grow) or "wrong".
local function judge(answer)
  if type(answer.evidence) ~= "table" or has_mfa() == (answer.factor == "password") then
    return "wrong"
  end
  return answer.factor == "password" and "right" or factors[answer.factor].accept(answer.evidence) or "wrong"
end
