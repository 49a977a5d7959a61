-- remembered.lua: the devices on which a right password is enough for a login, although a second factor is on
-- Runs after session.lua and factors.lua. The script that follows has this KEY, too
-- KEYS[8]   remembered, a hash: SHA-256 of a cookie's value to the record of its device (JSON, see stores/remembered.py)
-- Defines   remember, use_remembered, forget_remembered
local remembered = KEYS[8]

-- Remove devices whose time is over, and while there are more than cap the least recently used one, but not `kept`.
local function tidy_remembered(kept, cap)
  local held, latest, others = redis.call("HGETALL", remembered), call.now, {}
  for i = 1, #held, 2 do
    local device = read(held[i + 1], "ends_at")
    if not device or device.ends_at <= call.earliest then
      redis.call("HDEL", remembered, held[i])
    else
      latest = math.max(latest, device.ends_at)
      if held[i] ~= kept then
        table.insert(others, { id_hash = held[i], last_used_at = tonumber(device.last_used_at) or 0 })
      end
    end
  end
  table.sort(others, function(one, other) return one.last_used_at > other.last_used_at end)
  while #others >= cap do
    redis.call("HDEL", remembered, table.remove(others).id_hash)
  end
  redis.call("EXPIRE", remembered, math.ceil(latest - call.now) + 1)
end

-- Remember a device: id_hash, record (JSON), cap (how many a user may have).
local function remember(new)
  local device = cjson.decode(new.record)
  -- Whoever changes credentials forgets all devices. The version tells where a process of the release before did it.
  device.credentials_version = redis.call("HGET", user, "epoch")
  redis.call("HSET", remembered, new.id_hash, cjson.encode(device))
  tidy_remembered(new.id_hash, new.cap)
end

-- Give a remembered device its next value: id_hash, renewed (the next id_hash), ttl_s, client. Returns it; nothing if it
-- is not remembered. It is asked for a code if one of the clocks says that its time is over, or that it has not begun.
local function use_remembered(asked)
  local device = read(redis.call("HGET", remembered, asked.id_hash), "ends_at")
  if not device or type(device.began_at) ~= "number" then
    return
  end
  local ends_at = math.min(device.ends_at, device.began_at + asked.ttl_s)
  if ends_at <= call.latest or device.began_at > call.latest then
    return
  end
  if device.credentials_version ~= redis.call("HGET", user, "epoch") then
    return
  end
  for _, name in ipairs({ "os", "platform", "form", "location", "place", "ip" }) do
    device[name] = asked.client[name]
  end
  device.last_used_at = call.now
  redis.call("HSET", remembered, asked.renewed, cjson.encode(device))  -- first, so that a full Redis refuses all of it
  redis.call("HDEL", remembered, asked.id_hash)
  return device
end

local function forget_remembered()
  redis.call("DEL", remembered)
end
