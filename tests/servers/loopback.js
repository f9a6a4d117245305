// Loaded before a server (node --require): whatever address it asks for, it listens on 127.0.0.1 only.
const net = require('net')
const listen = net.Server.prototype.listen

net.Server.prototype.listen = function (...args) {
  const first = args[0]
  if (first && typeof first === 'object' && first.port !== undefined) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...args.slice(1))
  }
  return listen.call(this, Number(first), '127.0.0.1', ...args.slice(1).filter((a) => typeof a === 'function'))
}
