-- One batch: checks that the mirror stands where it is expected, then changes all of it at once.
--
-- KEYS   meta orders bids asks depth
-- ARGV   1 format  2 epoch  3 expected sequence  4 expected chain
--        5 sequence  6 chain  7 applied  8 state  9 last price  10 header
--        11.. how many arguments follow for each of: ZREM bids, ZREM asks, HDEL orders,
--        HDEL depth, ZADD bids, ZADD asks, HSET orders, HSET depth; then these arguments
-- Meta   format epoch sequence chain applied state last_price header, and what the other keys
--        have to hold: orders bids asks levels
-- Answer {1} written, {2} held already; {0, why, epoch, sequence} nothing changed
local CHUNK = 4000  -- below the limit of what unpack may push on Lua's stack
local meta, orders, bids, asks, depth = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- pcall: a key that somebody made one of another type is a torn mirror, no error
local held = redis.pcall('HMGET', meta, 'format', 'epoch', 'sequence', 'chain',
  'orders', 'bids', 'asks', 'levels')
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
if redis.pcall('HLEN', orders) ~= tonumber(held[5] or '')
  or redis.pcall('ZCARD', bids) ~= tonumber(held[6] or '')
  or redis.pcall('ZCARD', asks) ~= tonumber(held[7] or '')
  or redis.pcall('HLEN', depth) ~= tonumber(held[8] or '')
then return refuse('torn') end

local from = 19
local function each(command, key, count)
  local last = from + count - 1
  while from <= last do
    local to = math.min(from + CHUNK - 1, last)
    redis.call(command, key, unpack(ARGV, from, to))
    from = to + 1
  end
end
each('ZREM', bids, tonumber(ARGV[11]))
each('ZREM', asks, tonumber(ARGV[12]))
each('HDEL', orders, tonumber(ARGV[13]))
each('HDEL', depth, tonumber(ARGV[14]))
each('ZADD', bids, tonumber(ARGV[15]))
each('ZADD', asks, tonumber(ARGV[16]))
each('HSET', orders, tonumber(ARGV[17]))
each('HSET', depth, tonumber(ARGV[18]))

redis.call('HSET', meta, 'epoch', ARGV[2], 'sequence', ARGV[5], 'chain', ARGV[6],
  'applied', ARGV[7], 'state', ARGV[8], 'last_price', ARGV[9], 'header', ARGV[10],
  'orders', redis.call('HLEN', orders), 'bids', redis.call('ZCARD', bids),
  'asks', redis.call('ZCARD', asks), 'levels', redis.call('HLEN', depth))
return {1}
