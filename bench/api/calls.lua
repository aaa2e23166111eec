-- One call of the interface over and over, or the small calls in turn: CALL names the method, TOKEN
-- the bearer. Counts answers that are errors.
local bodies = {
	echo = '{"text":"a small call"}',
	getServerInfo = '{}',
	["send.getConnections"] = '{}',
	["send.getTransfers"] = '{"limit":10}',
	["send.getTransfer"] = '{"transferId":"' .. (os.getenv("TRANSFER") or "") .. '"}',
}
local names = {}
for name in string.gmatch(os.getenv("CALL") or "echo", "[^,]+") do
	names[#names + 1] = name
end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("TOKEN") or "")

local requests, at = {}, 0
function init()
	for i, name in ipairs(names) do
		requests[i] = wrk.format(nil, "/rpc", nil, string.format(
			'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}', i, name, bodies[name]))
	end
end

function request()
	at = at % #requests + 1
	return requests[at]
end

local threads = {}
function setup(thread)
	threads[#threads + 1] = thread
end

wrong = 0
function response(status, headers, body)
	if status ~= 200 or string.find(body, '"error":', 1, true) then
		wrong = wrong + 1
	end
end

function done(summary, latency)
	local bad = summary.errors.connect + summary.errors.read + summary.errors.write +
		summary.errors.timeout
	for _, thread in ipairs(threads) do
		bad = bad + thread:get("wrong")
	end
	io.write(string.format('RESULT {"calls":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"bad":%d}\n',
		summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000,
		latency:percentile(99) / 1000, bad))
end
