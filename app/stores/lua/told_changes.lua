-- told_changes.lua: what systems are told of a change of a user's record or credentials
-- Runs after session.lua and factors.lua
-- Defines   read_told, tell_of_changes
local TOLD_FIELDS = { "username", "global_name", "email", "unverified", "password_hash", "totp_secret", "disabled", "left" }

-- Returns what systems are told of if it changes: fields of the user, and how many backup codes there are. Nothing if no
-- system is told.
local function read_told()
  if not call.event_id then
    return
  end
  local held = { codes = redis.call("SCARD", backup_codes) }
  local values = redis.call("HMGET", user, unpack(TOLD_FIELDS))
  for at, name in ipairs(TOLD_FIELDS) do
    held[name] = values[at] or nil
  end
  return held
end

-- Returns why a user is disabled: "operator", "user" or "deletion"; nothing if they are not.
local function reason_in(held)
  return held.disabled and (held.left == "deleted" and "deletion" or held.left and "user" or "operator") or nil
end

local function tell_of_credential(name, before, after, by)
  if before ~= after then
    local what = not before and "created" or not after and "deleted" or "updated"
    tell("credential." .. what, { credential = name, by = by })
  end
end

-- Tell systems what has changed in the user's record and credentials, by what was there before. Passkeys and a user who
-- comes back are told of where they change.
local function tell_of_changes(change, before, by)
  if not before then
    return
  end
  local after = read_told()
  local changed = {}
  for _, name in ipairs({ "username", "global_name", "email", "unverified" }) do
    if before[name] ~= after[name] then
      table.insert(changed, name == "unverified" and "verified" or name)
    end
  end
  if #changed > 0 then
    tell("user.updated", { changed = changed })
  end
  if not change.same_credentials then  -- else it is another hash of the same password
    local former, new = before.password_hash ~= "", after.password_hash ~= ""
    tell_of_credential("password", former and before.password_hash, new and after.password_hash, by)
  end
  tell_of_credential("totp", before.totp_secret, after.totp_secret, by)
  local codes = after.codes > 0 and (change.backup_codes and "new" or "former")
  tell_of_credential("backup_codes", before.codes > 0 and "former", codes, by)
  local reason = reason_in(after)
  if reason and reason ~= reason_in(before) then
    tell("user.disabled", { reason = reason, delete_at = reason == "deletion" and change.deletion_at or nil })
  elseif not reason and reason_in(before) then
    tell("user.enabled", { by = by })
  end
end
