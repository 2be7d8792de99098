-- All that one batch changed, or nothing. The answer: DONE, ALREADY (a repeat of what was done) or FENCED.
--
-- KEYS[1]: the partition's fence; all its other keys begin alike. ARGV[1]: MessagePack of an array, see `packed` in
-- store.py. Numbers that are stored travel as strings: a Lua number is a double and loses what lies above 2^53.
--
-- Redis runs a script alone and checks memory and writability before its first write only, so nothing below can be
-- refused half-way. The fence is written last: were a key of the wrong type to stop the script, the fence still says
-- that this commit is missing.
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6)
local epoch, seq, from, fence_fields, erased, layouts, writes, outbox, counts, all_due, follows =
  unpack(cmsgpack.unpack(ARGV[1]))

local fence, flat = {}, call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  fence[flat[i]] = flat[i + 1]
end
if fence.epoch ~= epoch then
  return 'FENCED'
end
local held = fence.seq or '0'
if held == seq then
  return 'ALREADY'
end
if held ~= follows then
  return 'FENCED'
end
for i = 1, #from, 2 do
  local position = fence[from[i]]
  if position and position ~= from[i + 1] then
    return 'FENCED'
  end
end

-- Zset members go in by the thousand: one command each costs twice as much.
local CHUNK = 2000
local function flush(key, args, n)
  if n > 0 then
    call('ZADD', key, unpack(args, 1, n))
  end
  return 0
end

local due_key, values_key = prefix .. 'due', prefix .. 'values'
local erased_key = prefix .. 'erased'
for i = 1, #erased, 3 do
  local id, mark, at = erased[i], erased[i + 1], erased[i + 2]
  local before = call('HGET', erased_key, mark)
  if not before or tonumber(before) < tonumber(at) then
    call('HSET', erased_key, mark, at)
  end
  if id then
    call('DEL', prefix .. 'state:' .. id, prefix .. 'customer:' .. id)
    call('ZREM', due_key, id)
    call('ZREM', values_key, id)
  end
end

-- A write is {id, due or false, state, layout, texts}. The first layout is the whole view; any other one has the fields
-- that changed since this owner wrote the view last. An absent value's field must go. Layout 0: no view is kept, -1: it goes.
local view, gone, due, values, n, dues = {}, {}, {}, {}, 0, 0
for i = 1, #writes, 5 do
  local id, layout, texts = writes[i], writes[i + 3], writes[i + 4]
  call('SET', prefix .. 'state:' .. id, writes[i + 2])
  if layout > 0 then
    local names, size, absent = layouts[layout], 0, 0
    for j = 1, #names do
      local text = texts[j]
      if text then
        view[size + 1], view[size + 2] = names[j], text
        size = size + 2
      else
        absent = absent + 1
        gone[absent] = names[j]
      end
    end
    local key = prefix .. 'customer:' .. id
    if size > 0 then
      call('HSET', key, unpack(view, 1, size))
    end
    if layout > 1 then
      if absent > 0 then
        call('HDEL', key, unpack(gone, 1, absent))
      end
    elseif call('HLEN', key) * 2 > size then -- an older release's field, too, must go; rare: the count tells
      call('DEL', key)
      call('HSET', key, unpack(view, 1, size))
    end
    values[n + 1], values[n + 2] = seq, id
    n = n + 2
  elseif layout < 0 then
    call('DEL', prefix .. 'customer:' .. id)
    call('ZREM', values_key, id)
  end
  if writes[i + 1] then
    due[dues + 1], due[dues + 2] = writes[i + 1], id
    dues = dues + 2
  end
  if n >= CHUNK or dues >= CHUNK then
    n = flush(values_key, values, n)
    dues = flush(due_key, due, dues)
  end
end
flush(values_key, values, n)
flush(due_key, due, dues)
if all_due then
  call('ZUNIONSTORE', due_key, 1, due_key, 'WEIGHTS', 0)
end

-- A counter at 0 goes: those by day and by class would pile up. One that 64 bits do not hold stays where it is: that is
-- told by a figure that is wrong, and must not stop a partition half-way through a commit.
for i = 1, #counts, 2 do
  local sum = redis.pcall('HINCRBY', prefix .. 'kpi', counts[i], counts[i + 1])
  if sum == 0 then
    call('HDEL', prefix .. 'kpi', counts[i])
  elseif type(sum) == 'table' and not string.find(sum.err, 'overflow', 1, true) then
    return sum
  end
end
-- The last entry of a commit carries the fence as that commit leaves it: how far a publisher may say it has come.
for i = 1, #fence_fields, 2 do
  fence[fence_fields[i]] = fence_fields[i + 1]
end
local last = #outbox
for i = 1, last do
  local entry = seq .. '-' .. i
  if i == last then
    call('XADD', prefix .. 'outbox', entry, 'r', outbox[i], 'f', cmsgpack.pack(fence))
  else
    call('XADD', prefix .. 'outbox', entry, 'r', outbox[i])
  end
end
call('HSET', KEYS[1], unpack(fence_fields))
return 'DONE'
