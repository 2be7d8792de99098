-- The fence of a partition, and how many erase marks there are. ARGV[1]: '' only reads; a number (ms) makes the caller the
-- owner, under an epoch of at least that: counted up alone, an epoch would come back with a Redis that lost its last second.
-- Answers {fence, number of marks, the owner's counters of who sends (D7)}.
local prefix, sent = string.sub(KEYS[1], 1, -6), {}
if ARGV[1] ~= '' then
  local held = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', math.max(held + 1, tonumber(ARGV[1]))))
  local counters = redis.call('HGETALL', prefix .. 'kpi')
  for i = 1, #counters, 2 do
    if string.sub(counters[i], 1, 5) == 'sent:' then
      sent[#sent + 1] = counters[i]
    end
  end
end
return {redis.call('HGETALL', KEYS[1]), redis.call('HLEN', prefix .. 'erased'), sent}
