-- change.lua: how a user's record or credentials change, and with them the user's sessions
-- Runs after session.lua, factors.lua, sign_in.lua, remembered.lua and told_changes.lua. The script that follows has this KEY, too
-- KEYS[7]   links in mails, a hash: id_hash of the secret to its record (JSON)
-- Defines   find_refusal, apply. A change is a table. An absent field changes nothing:
--             caller               id_hash of the session that asks; the change is refused if this session is over
--             credentials_version  the change is refused if the user has another version by now
--             only_if              fields of the user that must have these values, or the change is refused
--             same_credentials     true if the user's credentials stay valid, so that logins under way go on
--             set, unset           fields of the user: names to values; names
--             forget               second factors to remove: names, as in factors.lua
--             remove_passkey       credential id of a passkey to remove; the change is refused if the user does not have
--                                  it, or has nothing else to log in with
--             add_passkey          a new passkey: cred_id, record (JSON); the change is refused if the user has this one,
--                                  or max_passkeys
--             rename_passkey       a name for a passkey: cred_id, name; the change is refused if the user does not have it
--             max_passkeys         how many a user may have
--             backup_codes         hashes of new backup codes, which replace all earlier codes
--             new_id_hash          the new hash of the caller's session
--             reason               the reason in the event about the new hash
--             end_others           end all sessions except the caller's, for this reason
--             ends_all             `end_others` ends the caller's session, too
--             refuse_tokens        adopt no token of the service before that was issued until now; so does end_others
--             link                 id_hash of the secret of a link for a reset; the link is used up
--             verifies             the link is one that verifies an address, not one for a reset
--             open_link            a link to open: id_hash, record (JSON), ttl_s
--             revert_totp          the encrypted TOTP secret, or
--             revert_passkey       the credential id that the link takes off, with each factor that was set since. The
--                                  link is one for that, not for a reset. The change is refused if that factor is gone
--             revert_address       the former address that the link puts back, taking off each factor that was set since.
--                                  Links that put back a later address go. The change is refused if it is there already
--             revert_since         when the mail with that link told of the factor, or when the other address was asked
--                                  for (Unix s). If the factor was set anew later, each factor that was set since that
--                                  mail goes too
--             comes_back           take it back that the user has left; the change is refused if the user is disabled for
--                                  another reason, or due for deletion
--             return_notice        a mail that tells of that, if it was so (JSON: see telling.lua)
--             activity             rows that tell the user of the change (JSON: see stores/activities.py)
--             notices              mails that tell the user of the change (JSON: see telling.lua)
--             deletion_at          when the account is to be deleted that the user leaves by this change (ISO 8601)
--             opens                a new session (see sign_in.lua); the change is refused if the user is disabled. After
--                                  a link that took something back, it is opened only if no factor is left
--             remembers            a device to remember (see remembered.lua)
local links = KEYS[7]
local KEPT_FORMERS = 10
local CLOCKS_APART_S = 60

-- Add a hash to those that a session had before. Of many the first is kept, by which limits know the session and which a
-- mail about its sign-in names, and the newest.
local function add_former(record, id_hash)
  record.formers = formers_in(record)
  table.insert(record.formers, id_hash)
  if #record.formers > KEPT_FORMERS then
    table.remove(record.formers, 2)
  end
end

-- Let no token of the service before be adopted that may have been issued until now (see adopt_session.lua). Its clock may
-- be ahead of ours: rules/adoption.py, CLOCKS_APART_S.
local function refuse_tokens_before()
  local since = math.floor(call.latest) + CLOCKS_APART_S + 1
  if since > (tonumber(redis.call("HGET", user, "tokens_valid_since") or 0) or 0) then
    redis.call("HSET", user, "tokens_valid_since", string.format("%d", since))
  end
end

-- Tells whether a change is that of a link that takes a factor off, or puts a former address back.
local function reverts(change)
  return change.revert_totp or change.revert_passkey or change.revert_address
end

-- Returns what the link that a change uses up must be for.
local function purpose_of(change)
  return reverts(change) and "revert" or change.verifies and "verify" or "reset"
end

-- Returns when TOTP was turned on (Unix s); 0 if nobody knows.
local function totp_since()
  return tonumber(redis.call("HGET", user, "totp_since") or 0) or 0
end

-- Returns when the factor that a link takes off was set (Unix s; 0 if nobody knows), or the address that it replaces was
-- asked for; nothing if the user has that no more. A factor that was removed and set anew counts from the first time, or
-- it would shield what was set in between.
local function find_reverted(change)
  local since
  if change.revert_address then
    since = redis.call("HGET", user, "email") ~= change.revert_address and change.revert_since
  elseif change.revert_passkey then
    local passkey = passkey_of(change.revert_passkey)
    since = passkey and passkey.created_at
  elseif redis.call("HGET", user, "totp_secret") == change.revert_totp then
    since = totp_since()
  end
  return since and math.min(since, change.revert_since)
end

-- Tells whether a link puts a former address back.
local function has_address(link)
  return link.purpose == "revert" and (link.email or "") ~= ""
end

-- Remove each link that is none of ours, or of which `is_void` says so.
local function forget_links_if(is_void)
  local held = redis.call("HGETALL", links)
  for i = 1, #held, 2 do
    local link = read(held[i + 1], "expires_at")
    if not link or is_void(link) then
      redis.call("HDEL", links, held[i])
    end
  end
end

-- Remove the links that are of no use once all sessions have ended. Where a factor is left, the link that takes it off
-- stays: if it is not the user's own, it would sign in without the new password. So does the link that puts a former
-- address back: whoever changed the address gets each mail for a reset.
local function forget_links()
  forget_links_if(function(link)
    return not (has_address(link) or link.purpose == "revert" and has_mfa())
  end)
end

-- Remove the links that another address makes void: those that were mailed to the one before.
-- used   the link that put a former address back, if one did. Those that put back a later one go, too
local function forget_links_of_address(used)
  forget_links_if(function(link)
    local is_later = used and has_address(link) and link.expires_at >= used.expires_at
    return link.purpose == "reset" or link.purpose == "verify" or is_later
  end)
end

local function open_link(new)
  redis.call("HSET", links, new.id_hash, new.record)
  redis.call("EXPIRE", links, math.max(redis.call("TTL", links), new.ttl_s))
end

-- Remove each factor that was set at this time or later, and each of which nobody knows when it was set.
local function forget_since(since)
  local held = redis.call("HGETALL", passkeys)
  for i = 1, #held, 2 do
    local passkey = read(held[i + 1], "created_at")
    if not passkey or passkey.created_at >= since then
      remove_passkey(held[i])
    end
  end
  if totp_since() >= since then
    factors.totp.forget()
  end
end

-- Returns nil if a change may be made. Else -1 if the caller's session is over; -2 if the user has as many passkeys as
-- may be; -3 if the new passkey is there already; -4 if the passkey to remove is the last one of a user without a
-- password; 0 if the credentials version is another by now, the link does not work any more, the factor or the passkey is
-- not there, the user is gone, or is disabled and a session is to be opened.
local function find_refusal(change)
  if change.caller and not is_live(change.caller) then
    return -1
  end
  local version = redis.call("HGET", user, "epoch")
  if not version or (change.credentials_version and version ~= change.credentials_version) then
    return 0
  end
  for field, value in pairs(change.only_if or {}) do
    if redis.call("HGET", user, field) ~= value then
      return 0
    end
  end
  if change.link then
    local link = read(redis.call("HGET", links, change.link), "expires_at")
    if not link or link.purpose ~= purpose_of(change) or link.expires_at <= call.now then
      return 0
    elseif reverts(change) and not find_reverted(change) then
      return 0
    end
  end
  local named = change.remove_passkey or change.rename_passkey and change.rename_passkey.cred_id
  if named and not passkey_of(named) then
    return 0
  end
  if change.remove_passkey and redis.call("HGET", user, "password_hash") == "" and count_passkeys() == 1 then
    return -4
  end
  if change.add_passkey then
    if count_passkeys() >= change.max_passkeys then
      return -2
    elseif redis.call("HEXISTS", passkeys, change.add_passkey.cred_id) == 1 then
      return -3
    end
  end
  if (change.opens or change.comes_back) and not may_open(version, change.comes_back) then
    return 0
  end
end

-- Remove, add and rename passkeys as a change says.
local function apply_to_passkeys(change)
  if change.remove_passkey then
    remove_passkey(change.remove_passkey)
  end
  if change.add_passkey then
    redis.call("HSET", passkeys, change.add_passkey.cred_id, change.add_passkey.record)
    report_passkey("AUTHENTICATOR_CREATE", "authenticator.created", cjson.decode(change.add_passkey.record))
  end
  if change.rename_passkey then
    local passkey = passkey_of(change.rename_passkey.cred_id)
    passkey.name = change.rename_passkey.name
    redis.call("HSET", passkeys, change.rename_passkey.cred_id, cjson.encode(passkey))
    report_passkey("AUTHENTICATOR_UPDATE", "authenticator.updated", passkey)
  end
end

local function changes_factors(change)
  return change.forget or change.remove_passkey or change.add_passkey or reverts(change)
end

-- Remove, add and replace factors and backup codes as a change says.
-- since   of a change that takes something back: what `find_reverted` found
local function apply_to_factors(change, since)
  for _, name in ipairs(change.forget or {}) do
    factors[name].forget()
  end
  if reverts(change) then
    if change.revert_totp then  -- also if nobody knows when it was set
      factors.totp.forget()
    end
    forget_since(since)
  end
  apply_to_passkeys(change)
  if changes_factors(change) and not has_mfa() then  -- backup codes go with the last factor, whichever that is
    factors.backup.forget()
  end
  if change.backup_codes then
    factors.backup.forget()
    for _, hash in ipairs(change.backup_codes) do
      redis.call("SADD", backup_codes, hash)
    end
  end
end

-- Keep the caller's session under the hash of its new token.
local function apply_new_hash(change)
  local score = redis.call("ZSCORE", last_used, change.caller)
  local record = record_of(change.caller)
  has_ended = true  -- for the hash that it had
  redis.call("ZREM", last_used, change.caller)
  redis.call("ZADD", last_used, score, change.new_id_hash)
  redis.call("HDEL", sessions, change.caller)
  if record then
    add_former(record, change.caller)
    redis.call("HSET", sessions, change.new_id_hash, cjson.encode(record))
  end
  keep()
  report("AUTH_SESSION_CHANGE", change.new_id_hash, change.reason, change.caller)
end

-- Make a change that was not refused. Returns the credentials version after it.
local function apply(change)
  -- A full Redis refuses what opens a session or makes a token, as a whole, and lets the rest end sessions.
  if change.end_others and not change.opens and not change.new_id_hash then
    write_when_full()
  end
  local before = read_told()
  local is_by_user = change.caller or change.opens or change.comes_back
  local by = change.link and "link" or is_by_user and "user" or "operator"
  if not change.same_credentials then
    redis.call("HINCRBY", user, "epoch", 1)
  end
  if not change.same_credentials or change.end_others then
    forget_remembered()
  end
  local since = reverts(change) and find_reverted(change)
  local used = change.link and read(redis.call("HGET", links, change.link), "expires_at")
  if change.link then
    redis.call("HDEL", links, change.link)
  end
  -- What was proved with a former password, factor or code, and the link of a reset, is good no more.
  local set = change.set or {}
  local changes_secrets = changes_factors(change) or change.backup_codes or set.password_hash or set.totp_secret
  if changes_secrets and not change.same_credentials then
    redis.call("HINCRBY", user, "secrets_version", 1)
    if not change.end_others then  -- else no session is left whose login could count as a proof
      redis.call("HSET", user, "secrets_changed_at", string.format("%d", call.now))
    end
  end
  if set.password_hash then  -- what was to be told of the former password is true no more
    redis.call("HDEL", user, "password_warning")
  end
  if changes_secrets and not change.same_credentials then
    -- An address that somebody asked for who knew the former password is not to be verified under the new one.
    redis.call("HDEL", user, "pending_email", "pending_since")
  end
  for field, value in pairs(set) do
    redis.call("HSET", user, field, value)
  end
  for _, field in ipairs(change.unset or {}) do
    redis.call("HDEL", user, field)
  end
  apply_to_factors(change, since)
  tell_of_changes(change, before, by)
  queue_notices(user, change.notices)

  local kept = not change.ends_all and change.caller or nil
  if change.end_others then
    finish_expired()
    finish_others(kept, change.end_others, change.caller and ender(change.caller))
  end
  if change.end_others or change.refuse_tokens then
    refuse_tokens_before()
  end
  if change.end_others and not kept then
    forget_links()
  end
  if set.email then
    forget_links_of_address(change.revert_address and used)
  end
  if change.open_link then
    open_link(change.open_link)
  end
  if change.comes_back then
    come_back(change.opens, by, change.return_notice)
  end
  if change.new_id_hash then
    apply_new_hash(change)
  end
  for _, row in ipairs(change.activity or {}) do
    write_activity(row)
  end
  if change.opens and not (reverts(change) and has_mfa()) then
    open_session(change.opens)
  end
  if change.remembers then
    remember(change.remembers)
  end
  return tonumber(redis.call("HGET", user, "epoch"))
end
