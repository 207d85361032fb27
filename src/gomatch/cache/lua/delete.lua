-- Removes a market's keys, and those of rebuilds that were never finished.
--
-- KEYS   meta orders bids asks depth rebuilds
-- ARGV   1 prefix of temporary keys
for _, token in ipairs(redis.pcall('SMEMBERS', KEYS[6])) do
  for _, name in ipairs({'orders', 'bids', 'asks', 'depth'}) do
    redis.call('UNLINK', ARGV[1] .. token .. ':' .. name)
  end
end
return redis.call('UNLINK', unpack(KEYS))
