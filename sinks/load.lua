-- States of customers named and of customers due, in one trip.
--
-- KEYS[1]: the partition's fence. ARGV[1]: MessagePack of {ids, marks of these ids or none, due until, limit, epoch or
-- false, seq}. Answers {states of ids, erase instants of ids or none, due ids, states of the due, instant at which the next
-- one is due or false where no more are}, or false where the fence stands elsewhere.
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6)
local ids, marks, due_until, limit, epoch, seq = unpack(cmsgpack.unpack(ARGV[1]))
if epoch then
  local held = call('HMGET', KEYS[1], 'epoch', 'seq')
  if held[1] ~= epoch or (held[2] or '0') ~= seq then
    return false
  end
end

-- unpack() puts at most some 8,000 values on Lua's stack.
local CHUNK = 4000
local function many(command, key, members, lead)
  local found = {}
  for start = 1, #members, CHUNK do
    local args = {}
    for i = start, math.min(start + CHUNK - 1, #members) do
      args[#args + 1] = lead .. members[i]
    end
    local part = key and call(command, key, unpack(args)) or call(command, unpack(args))
    for i = 1, #part do
      found[#found + 1] = part[i]
    end
  end
  return found
end

local due, next_at = {}, false
if due_until then
  due = call('ZRANGEBYSCORE', prefix .. 'due', '-inf', due_until, 'LIMIT', 0, limit)
  if #due == limit then
    next_at = call('ZRANGEBYSCORE', prefix .. 'due', '-inf', due_until, 'WITHSCORES', 'LIMIT', limit, 1)[2] or false
  end
end
local state = prefix .. 'state:'
return {
  many('MGET', nil, ids, state),
  many('HMGET', prefix .. 'erased', marks, ''),
  due,
  many('MGET', nil, due, state),
  next_at,
}
