-- The fence of a partition, and how many erase marks there are. ARGV[1]: '' only reads; a number (ms) makes the caller the
-- owner, under an epoch of at least that: counted up alone, an epoch would come back with a Redis that lost its last second.
if ARGV[1] ~= '' then
  local held = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', math.max(held + 1, tonumber(ARGV[1]))))
end
return {redis.call('HGETALL', KEYS[1]), redis.call('HLEN', string.sub(KEYS[1], 1, -6) .. 'erased')}
