-- requests.lua: makes wrk send the requests in the file REQUESTS, line by line. A line is method, token, proof and body,
-- separated by tabs.
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
