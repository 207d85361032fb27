-- Begins a rebuild: clears what earlier ones of this or an older epoch left, and notes this one.
--
-- KEYS   meta rebuilds
-- ARGV   1 format  2 epoch  3 sequence  4 token ("<epoch>-<random>")  5 prefix of temporary keys
-- Answer {1}; {0, why, epoch, sequence} the mirror is newer
local held = redis.pcall('HMGET', KEYS[1], 'format', 'epoch', 'sequence')
local epoch, sequence = tonumber(held[2] or ''), tonumber(held[3] or '')
if held[1] == ARGV[1] and epoch and sequence then
  if epoch > tonumber(ARGV[2]) then return {0, 'epoch', held[2], held[3]} end
  if epoch == tonumber(ARGV[2]) and sequence > tonumber(ARGV[3]) then
    return {0, 'position', held[2], held[3]}
  end
end
if redis.call('TYPE', KEYS[2]).ok ~= 'set' then redis.call('DEL', KEYS[2]) end
for _, token in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local of = tonumber(string.match(token, '^%d+') or '')
  if not of or of <= tonumber(ARGV[2]) then
    for _, name in ipairs({'orders', 'bids', 'asks', 'depth'}) do
      redis.call('UNLINK', ARGV[5] .. token .. ':' .. name)
    end
    redis.call('SREM', KEYS[2], token)
  end
end
redis.call('SADD', KEYS[2], ARGV[4])
return {1}
