-- One batch: checks that the mirror stands where it is expected, then changes all of it at once.
--
-- KEYS   meta orders bids asks depth
-- ARGV   1 format  2 epoch  3 expected sequence  4 expected chain
--        5 sequence  6 chain  7 applied  8 state  9 last price  10 header
--        11 part: only, or first, middle and last of a write in several calls
--        12 msgpack array of the arguments of ZREM bids, ZREM asks, HDEL orders, HDEL depth,
--        ZADD bids, ZADD asks, HSET orders, HSET depth
-- Meta   format epoch sequence chain applied state last_price header, and what the other keys
--        have to hold: orders bids asks levels; writing: until all is changed
-- Answer {1} written, {2} held already; {0, why, epoch, sequence} nothing changed
local CHUNK = 4000  -- below the limit of what unpack may push on Lua's stack
local meta, orders, bids, asks, depth = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- pcall: a key that somebody made one of another type is a torn mirror, no error
local held = redis.pcall('HMGET', meta, 'format', 'epoch', 'sequence', 'chain',
  'orders', 'bids', 'asks', 'levels', 'writing')
if not held[1] then return {0, 'missing', '0', '0'} end
local function refuse(why) return {0, why, held[2] or '0', held[3] or '0'} end
if held[1] ~= ARGV[1] then return refuse('format') end
local epoch = tonumber(held[2] or '')
if not epoch then return refuse('torn') end
if epoch > tonumber(ARGV[2]) then return refuse('epoch') end
if held[3] ~= ARGV[3] or held[4] ~= ARGV[4] then
  -- The same write again, after its first answer was lost.
  if held[2] == ARGV[2] and held[3] == ARGV[5] and held[4] == ARGV[6] then return {2} end
  return refuse('position')
end
local part = ARGV[11]
local token = ARGV[2] .. '-' .. ARGV[5]
if held[9] then
  if held[9] ~= token or part == 'only' then return refuse('torn') end
elseif part == 'middle' or part == 'last' then
  return refuse('torn')
elseif redis.pcall('HLEN', orders) ~= tonumber(held[5] or '')
  or redis.pcall('ZCARD', bids) ~= tonumber(held[6] or '')
  or redis.pcall('ZCARD', asks) ~= tonumber(held[7] or '')
  or redis.pcall('HLEN', depth) ~= tonumber(held[8] or '')
then return refuse('torn') end

local groups = cmsgpack.unpack(ARGV[12])
-- Redis does not take back what a script did before it failed: until the end this is torn.
redis.call('HSET', meta, 'writing', token)
local function each(command, key, list)
  local count = #list
  for from = 1, count, CHUNK do
    redis.call(command, key, unpack(list, from, math.min(from + CHUNK - 1, count)))
  end
end
each('ZREM', bids, groups[1])
each('ZREM', asks, groups[2])
each('HDEL', orders, groups[3])
each('HDEL', depth, groups[4])
each('ZADD', bids, groups[5])
each('ZADD', asks, groups[6])
each('HSET', orders, groups[7])
each('HSET', depth, groups[8])

if part == 'first' or part == 'middle' then return {1} end
redis.call('HDEL', meta, 'writing')
redis.call('HSET', meta, 'epoch', ARGV[2], 'sequence', ARGV[5], 'chain', ARGV[6],
  'applied', ARGV[7], 'state', ARGV[8], 'last_price', ARGV[9], 'header', ARGV[10],
  'orders', redis.call('HLEN', orders), 'bids', redis.call('ZCARD', bids),
  'asks', redis.call('ZCARD', asks), 'levels', redis.call('HLEN', depth))
return {1}
