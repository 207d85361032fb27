-- Ends a rebuild: the temporary keys take the place of the mirror's, together with its meta.
--
-- KEYS   meta orders bids asks depth, temporary: orders bids asks depth, rebuilds
-- ARGV   1 format  2 epoch  3 sequence  4 chain  5 applied  6 state  7 last price  8 header
--        9 token  10.. how many the temporary keys must hold: orders bids asks levels
-- Answer {1}; {0, why, epoch, sequence} nothing changed
local held = redis.pcall('HMGET', KEYS[1], 'format', 'epoch', 'sequence')
local function refuse(why) return {0, why, held[2] or '0', held[3] or '0'} end
local epoch, sequence = tonumber(held[2] or ''), tonumber(held[3] or '')
if held[1] == ARGV[1] and epoch and sequence then
  if epoch > tonumber(ARGV[2]) then return refuse('epoch') end
  if epoch == tonumber(ARGV[2]) and sequence > tonumber(ARGV[3]) then
    return refuse('position')
  end
end
if redis.call('HLEN', KEYS[6]) ~= tonumber(ARGV[10])
  or redis.call('ZCARD', KEYS[7]) ~= tonumber(ARGV[11])
  or redis.call('ZCARD', KEYS[8]) ~= tonumber(ARGV[12])
  or redis.call('HLEN', KEYS[9]) ~= tonumber(ARGV[13])
then return refuse('torn') end

for index = 2, 5 do
  redis.call('UNLINK', KEYS[index])  -- frees in the background, RENAME over it would not
  if redis.call('EXISTS', KEYS[index + 4]) == 1 then
    redis.call('RENAME', KEYS[index + 4], KEYS[index])
    redis.call('PERSIST', KEYS[index])
  end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'epoch', ARGV[2], 'sequence', ARGV[3],
  'chain', ARGV[4], 'applied', ARGV[5], 'state', ARGV[6], 'last_price', ARGV[7],
  'header', ARGV[8], 'orders', ARGV[10], 'bids', ARGV[11], 'asks', ARGV[12], 'levels', ARGV[13])
redis.call('SREM', KEYS[10], ARGV[9])
return {1}
