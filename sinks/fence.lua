-- The fence of a partition, and how many erase marks there are. ARGV[1]: 1 makes the caller the owner, under a new epoch.
if ARGV[1] == '1' then
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
end
return {redis.call('HGETALL', KEYS[1]), redis.call('HLEN', string.sub(KEYS[1], 1, -6) .. 'erased')}
