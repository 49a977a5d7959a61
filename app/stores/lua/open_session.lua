-- open_session.lua: open a session, if the user's credentials have not changed since the login began
-- Runs after session.lua and sign_in.lua, which define KEYS[1] to KEYS[4] and ARGV[1]
-- ARGV[2]   JSON: credentials_version (when the login began), opens (the new session), comes_back (absent if the login does
--           not take it back that the user has left), return_notice (a mail about that, if one is sent): see sign_in.lua
-- Returns   1; 0 if the credentials have changed, or the user is gone or disabled
local asked = cjson.decode(ARGV[2])
if not may_open(asked.credentials_version, asked.comes_back) then
  return 0
end
if asked.comes_back then
  come_back(asked.opens, "user", asked.return_notice)
end
open_session(asked.opens)
return 1
