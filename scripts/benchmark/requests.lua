-- requests.lua: what wrk sends, one line of the file REQUESTS after the other: method, token, proof, body, by tabs
local lines, at = {}, 0
for line in io.lines(os.getenv("REQUESTS")) do
  lines[#lines + 1] = line
end

function request()
  at = at % #lines + 1
  local method, token, proof, body = lines[at]:match("([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)")
  local headers = { ["Authorization"] = token, ["Content-Type"] = "application/json" }
  if proof ~= "" then
    headers["X-Discord-MFA-Authorization"] = proof
  end
  return wrk.format(method, nil, headers, body)
end
