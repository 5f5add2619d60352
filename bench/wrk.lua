-- Sends the requests of a file, one after the other. Each line has a method, a path, a token and a body, separated by tabs.
-- See https://github.com/wg/wrk/blob/master/SCRIPTING
local requests, nth = {}, 0

function init (args)
  for line in io.lines(args[1]) do
    local method, path, token, body = line:match('^(%S+)\t(%S+)\t(%S*)\t(.*)$')
    local headers = {}
    if token ~= '' then headers['Authorization'] = 'Bearer ' .. token end
    if body ~= '' then headers['Content-Type'] = 'application/json' end
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= '' and body or nil)
  end
end

function request ()
  nth = nth % #requests + 1
  return requests[nth]
end

function done (summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\n{"requests":%d,"seconds":%.3f,"failed":%d}\n', summary.requests, summary.duration / 1e6, failed))
end
