-- What Kafka has committed leaves the outbox; doing it again changes nothing.
-- KEYS[1]: the partition's fence. ARGV: the first entry that stays, the last commit whose views are published.
local prefix = string.sub(KEYS[1], 1, -6)
redis.call('XTRIM', prefix .. 'outbox', 'MINID', '=', ARGV[1])
redis.call('ZREMRANGEBYSCORE', prefix .. 'values', '-inf', ARGV[2])
return redis.call('XLEN', prefix .. 'outbox')
