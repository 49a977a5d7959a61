-- Asks Keyrack whose a request is: lets it on with the identity, or hands Keyrack's answer to the client.
-- For haproxy.cfg beside it. It needs HAProxy's own HTTP client, and no library.

local VERIFY = "http://127.0.0.1:8000/gateway/verify"
local TIMEOUT_MS = 5000
local UNAVAILABLE = '{"code": 0, "message": "503: Service Unavailable"}'
-- What Keyrack reads of a request.
local ASKED_WITH = {
  "authorization", "cookie", "host", "origin", "sec-fetch-site", "user-agent", "x-discord-mfa-authorization",
  "x-forwarded-for", "x-request-id", "x-super-properties",
}

-- The headers of a no that the client gets.
local PASSED_ON = {
  "access-control-allow-origin", "access-control-expose-headers", "cache-control", "retry-after", "vary",
  "www-authenticate", "x-request-id",
}

-- All values of a header as one text; nil if the header is absent. Its fields count from 0.
local function joined(values, separator)
  if not values or not values[0] then return nil end
  local text = values[0]
  for i = 1, #values do text = text .. separator .. values[i] end
  return text
end

local function question(txn)
  local sent, asked = txn.http:req_get_headers(), {}
  for _, name in ipairs(ASKED_WITH) do
    local value = joined(sent[name], name == "cookie" and "; " or ", ")
    if value then asked[name] = { value } end
  end
  -- A WebSocket opens with a GET but does what a POST does, and no other page may open one with this one's cookie.
  asked["x-forwarded-method"] = { sent["upgrade"] and "POST" or txn.f:method() }
  return asked
end

local function answer(txn, status, headers, body)
  local reply = txn:reply({ status = status })
  for name, value in pairs(headers) do reply:add_header(name, value) end
  if txn.f:method() ~= "HEAD" then reply:set_body(body) end
  txn:done(reply)
end

local function unavailable(txn)
  answer(txn, 503, { ["content-type"] = "application/json", ["retry-after"] = "1" }, UNAVAILABLE)
end

local function ask(txn, url)
  local ok, told = pcall(function()
    return core.httpclient():get({ url = url, headers = question(txn), timeout = TIMEOUT_MS })
  end)
  if not ok or not told or not told.headers then return unavailable(txn) end
  local is_keyracks = joined(told.headers["content-type"], "") == "application/json"  -- HAProxy's own 503 is HTML
  local user, session = joined(told.headers["x-auth-user-id"], ""), joined(told.headers["x-auth-session-id-hash"], "")
  if told.status == 200 and user and session then
    txn.http:req_set_header("X-Auth-User-Id", user)
    txn.http:req_set_header("X-Auth-Session-Id-Hash", session)
  elseif is_keyracks and (told.status == 401 or told.status == 403 or told.status == 503) then
    local headers = { ["content-type"] = "application/json" }
    for _, name in ipairs(PASSED_ON) do headers[name] = joined(told.headers[name], ", ") end
    answer(txn, told.status, headers, told.body)
  else
    unavailable(txn)
  end
end

core.register_action("keyrack", { "http-req" }, function(txn) ask(txn, VERIFY) end)
core.register_action("keyrack_with_proof", { "http-req" }, function(txn) ask(txn, VERIFY .. "?require=mfa") end)
