-- The best levels of both sides: goes from level to level by score, whatever the orders in them.
--
-- KEYS   meta bids asks depth
-- ARGV   1 how many levels of each side, then the names of the meta fields to answer
-- Answer {meta values, {price, displayed, ...} of bids, the same of asks}
local function levels(key, letter, sign)
  local found, bound = {}, '-inf'
  while #found < 2 * tonumber(ARGV[1]) do
    local first = redis.call('ZRANGEBYSCORE', key, bound, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[2] then break end
    local price = string.format('%.0f', sign * tonumber(first[2]))
    found[#found + 1] = price
    found[#found + 1] = redis.call('HGET', KEYS[4], letter .. price) or ''
    bound = '(' .. first[2]
  end
  return found
end
return {redis.call('HMGET', KEYS[1], unpack(ARGV, 2)), levels(KEYS[2], 'b', -1),
  levels(KEYS[3], 'a', 1)}
