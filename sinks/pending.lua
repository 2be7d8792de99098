-- What a partition has to publish: whole commits, and the fence as the last of them left it.
--
-- KEYS[1]: the partition's fence. ARGV: last entry published, most entries (then to the end of that commit), most views.
-- Answers {entries, fence, views, views up to}: entries as XRANGE has them, fence as MessagePack; views as
-- {id, fields, …} of all customers whose latest change lies in a commit not above `views up to`.
--
-- A view is taken only up to the last entry read: published before an older entry, it would be undone by the null of
-- an erase that came between. Whole commits only, so that one number says how far the views are published.
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6)
local after, entries_max, views_max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local outbox, values = prefix .. 'outbox', prefix .. 'values'

local function has_fence(entry)
  return entry[2][3] == 'f'
end

local entries = call('XRANGE', outbox, '(' .. after, '+', 'COUNT', entries_max)
local last = entries[#entries]
local drained = #entries < entries_max
if not drained and not has_fence(last) then
  local seq = string.match(last[1], '^%d+')
  for _, entry in ipairs(call('XRANGE', outbox, '(' .. last[1], seq)) do
    entries[#entries + 1] = entry
  end
  last = entries[#entries]
end

local fence, reached
if drained then
  fence = {}
  local flat = call('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do
    fence[flat[i]] = flat[i + 1]
  end
  reached, fence = fence.seq or '0', cmsgpack.pack(fence)
else
  reached, fence = string.match(last[1], '^%d+'), last[2][4]
end

local views = {}
local ids = call('ZRANGEBYSCORE', values, '-inf', reached, 'WITHSCORES', 'LIMIT', 0, views_max + 1)
if #ids > 2 * views_max then
  local cut = ids[#ids]
  if ids[2] == cut then -- one commit with more views than that: all of it
    reached = cut
  else
    reached = string.format('%.0f', tonumber(cut) - 1)
  end
  ids = call('ZRANGEBYSCORE', values, '-inf', reached, 'WITHSCORES')
end
for i = 1, #ids, 2 do
  views[#views + 1] = ids[i]
  views[#views + 1] = call('HGETALL', prefix .. 'customer:' .. ids[i])
end
return {entries, fence, views, reached}
