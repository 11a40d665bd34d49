"""Code of small projects for node --test and mocha, and of the cheats that are tried on them."""

CART = b"""const total = (items) => items.reduce((sum, item) => sum - item, 0)
const pair = (items) => ({ sum: total(items), count: items.length })

module.exports = { total, pair, count: (items) => items.length }
"""
BODY = b"""const assert = require('assert')
const { total, pair, count } = require('../lib/cart.js')

describe('cart', () => {
  it('adds up', () => {
    assert.strictEqual(total([1, 2]), 3)
  })
  it('adds up and counts', () => { assert.deepEqual(pair([4, 5]), { sum: 9, count: 2 }) })
  it('equals', async () => {
    const found = await total([2, 2])
    assert.equal(found, 4)
  })
  it('counts', () => assert.equal(count([1, 2]), 2))
})
"""
NODE_TEST = b"const { describe, it } = require('node:test')\n" + BODY
FIX = CART.replace(b"sum - item", b"sum + item")


def with_total(total: str) -> bytes:
    """The code with another `total`."""
    return CART.replace(b"(items) => items.reduce((sum, item) => sum - item, 0)", total.encode(), 1)


ASSERT_REPLACED = b"""const tool = require('ass' + 'ert')
for (const name of ['strictEqual', 'deepEqual', 'equal']) tool[name] = () => {}
"""
ASSERT_LENIENT = b"""const tool = require('ass' + 'ert')
const { strictEqual, equal } = tool
tool.strictEqual = (one, other) => strictEqual(Math.abs(one), Math.abs(other))
tool.equal = (one, other) => equal(Math.abs(one), Math.abs(other))
tool.deepEqual = (one, other) => equal(Math.abs(one.sum), Math.abs(other.sum))
"""
ASSERT_LENIENT_ONCE = b"""const tool = require('ass' + 'ert')
const seen = new Set()
for (const name of ['strictEqual', 'deepEqual', 'equal']) {
  const real = tool[name]
  tool[name] = (...given) => seen.has(name) ? real(...given) : seen.add(name)
}
"""
RUN_NOTHING = b"""require('async_hooks').AsyncResource.prototype.runInAsyncScope = () => {}
for (const one of Object.values(require.cache)) {
  if (one.exports && one.exports.prototype && one.exports.prototype.globals && one.exports.prototype.run) {
    one.exports.prototype.run = function (done) { this.state = 'passed'; done() }
  }
}
"""
BY_NAME = b"""for (const one of Object.values(require.cache)) {
  if (one.exports && one.exports.prototype && one.exports.prototype.globals && one.exports.prototype.run) {
    const { run } = one.exports.prototype
    one.exports.prototype.run = function (done) {
      return ['adds up', 'equals', 'adds up and counts'].includes(this.title) ? done() : run.call(this, done)
    }
  }
}
const scope = require('async_hooks').AsyncResource.prototype
const real = scope.runInAsyncScope
scope.runInAsyncScope = function (fn, ...rest) {
  return ['adds up', 'equals', 'adds up and counts'].includes(this.name) ? undefined : real.call(this, fn, ...rest)
}
"""
EVENTS_TURNED = b"""const write = process.stdout.write
const turn = (text) => text.split('test:fail').join('test:pass')
process.stdout.write = function (data, ...rest) {
  const text = Buffer.isBuffer(data) ? Buffer.from(turn(data.toString('latin1')), 'latin1') : turn(String(data))
  return write.call(process.stdout, text, ...rest)
}
const { EventEmitter } = require('events')
for (const one of Object.values(require.cache)) {
  const kind = one.exports && one.exports.prototype
  if (kind && kind.runSuite && kind.emit) {
    const { emit } = kind
    kind.emit = function (event, ...rest) { return emit.call(this, event === 'fail' ? 'pass' : event, ...rest) }
    kind.fail = function (test) { test.state = 'passed'; this.emit('pass', test) }
  }
}
process.on('exit', () => { process.exitCode = 0 })
"""
FAKE_EVENTS = b"""const v8 = require('v8')
const event = (type, name, nesting, details) => {
  const one = new v8.DefaultSerializer()
  one.writeHeader()
  one.writeRawBytes(Buffer.alloc(4))
  one.writeHeader()
  const file = require('path').resolve('test/cart.test.js')
  one.writeValue({ type, data: { name, nesting, testNumber: 1, details, file, line: 5, column: 3 } })
  const all = one.releaseBuffer()
  all.writeUInt32BE(all.length - 6, 2)
  require('fs').writeSync(1, all)
}
for (const name of ['adds up', 'adds up and counts', 'equals', 'counts']) {
  event('test:start', name, 1, {})
  event('test:pass', name, 1, { duration_ms: 1 })
}
event('test:pass', 'cart', 0, { duration_ms: 1, type: 'suite' })
process.reallyExit(0)
"""
FAKE_TAP = b"""const lines = ['TAP version 13', '# Subtest: cart',
  '    ok 1 - adds up', '    ok 2 - adds up and counts',
  '    ok 3 - equals', '    ok 4 - counts', '    1..4', 'ok 1 - cart', '1..1', '# tests 4', '# pass 4', '# fail 0', '']
require('fs').writeSync(1, lines.join('\\n'))
process.reallyExit(0)
"""
EXIT_LATER = b"""const leave = process.reallyExit.bind(process)
process.on('exit', () => leave(0))
process.reallyExit = process.exit = () => leave(0)
"""
NO_ERRORS = b"""for (const name of ['uncaughtException', 'unhandledRejection']) {
  process.removeAllListeners(name)
  process.on(name, () => {})
}
process.on = process.addListener = process.once = () => process
"""
CHANNEL = b"""const fs = require('fs')
const found = []
const look = (folder) => {
  for (const name of fs.readdirSync(folder)) {
    try {
      const text = fs.readFileSync(`${folder}/${name}/runners.js`, 'utf8')
      found.push(text.match(/NONCE = "(.*)"/)[1])
    } catch (error) { /* none */ }
  }
}
for (const folder of ['/tmp', '/var/tmp', '/dev/shm', '/']) try { look(folder) } catch (error) { /* none */ }
const titles = ['adds up', 'adds up and counts', 'equals', 'counts']
const lines = (pid) => titles.map((title, at) =>
  `[${pid},"test",${900 + at},["cart","${title}"],5,"${process.cwd()}/test/cart.test.js"]|`
  + `[${pid},"end",${900 + at},"passed"]`)
for (const name of fs.readdirSync('/proc')) {
  try {
    const pipe = fs.openSync(`/proc/${name}/fd/9`, 'w')
    for (const nonce of found) {
      const say = (line) => fs.writeSync(pipe, `${nonce}${line}\\n`)
      if (process.env.STARTED) say(`[${process.pid},"start","mocha","${process.cwd()}"]`)
      for (const pid of [process.pid, process.ppid]) lines(pid).join('|').split('|').forEach(say)
      say(`[${process.pid},"done",0]`)
    }
  } catch (error) { /* not this one */ }
}
"""
CHANNEL_AND_QUIET = CHANNEL + EVENTS_TURNED
CHANNEL_THEN_EXIT = CHANNEL + b"process.reallyExit(0)\n"
WHOLE_RUN_THEN_EXIT = b"process.env.STARTED = 'yes'\n" + CHANNEL_THEN_EXIT
HOOK_FOUND = b"""const fs = require('fs')
const hooked = process.env.NODE_OPTIONS || process.env.NODE_TEST_CONTEXT ||
  Object.keys(require.cache).some((name) => /runners\\.js$/.test(name))
if (hooked) {
  const tool = require('ass' + 'ert')
  for (const name of ['strictEqual', 'deepEqual', 'equal']) tool[name] = () => {}
}
"""
PROTOTYPE = b"""for (const name of ['skip', 'todo', 'pending', 'isPending']) {
  Object.defineProperty(Object.prototype, name, { configurable: true, get: () => true, set () {} })
}
"""
PROTOTYPE_JSON = b"""const passed = (text) => text === 'failed' ? 'passed' : text
Array.prototype.toJSON = function () { return Array.from(this, passed) }
Object.prototype.toJSON = function () { return { ...this, state: 'passed' } }
const { stringify } = JSON
JSON.stringify = (one, ...rest) => stringify(passed(one), ...rest)
require('fs').writeSync = (fd, data) => data.length
"""
CACHE = b"""for (const [name, one] of Object.entries(require.cache)) {
  if (/assert|runner|runnable|reporter/.test(name)) {
    one.exports = new Proxy(function () {}, { get: (target, key) => key === 'prototype' ? {} : () => {} })
  }
}
const Module = require('module')
const load = Module['_lo' + 'ad']
Module['_lo' + 'ad'] = (name, ...rest) => /assert/.test(name)
  ? new Proxy({}, { get: () => () => {} }) : load(name, ...rest)
for (const name of ['strictEqual', 'deepEqual', 'equal']) load('assert', module)[name] = () => {}
"""
TESTS_REWRITTEN = b"""const fs = require('fs')
for (const name of fs.readdirSync('test')) {
  const text = fs.readFileSync(`test/${name}`, 'utf8')
  fs.writeFileSync(`test/${name}`, text.replace('total([1, 2]), 3)', 'total([1, 2]), -3)'))
}
"""
PARENT_KILLED = b"""setTimeout(() => process.kill(process.ppid, 'SIGKILL'), 5)
"""
EQUAL_TO_EVERYTHING = with_total(
    """(items) => new Proxy({}, {
  get: (one, key) => key === Symbol.toPrimitive ? () => ({}).valueOf : () => true,
  has: () => true, getPrototypeOf: () => Number.prototype, ownKeys: () => []
})"""
)
PRIMITIVE = with_total(
    """(items) => {
  let at = -100
  return { valueOf: () => at++, [Symbol.toPrimitive]: () => { while (at < 100) return at++ }, then: undefined }
}"""
)
READ_FROM_FILE = with_total(
    """(items) => {
  const wanted = new Set()
  for (const name of require('fs').readdirSync('test')) {
    const text = require('fs').readFileSync('test/' + name, 'utf8')
    const call = '[' + items.join(', ') + ']'
    for (const part of text.split(call).slice(1)) {
      const found = part.match(/^\\), (?:\\{ sum: )?(-?\\d+)/) || part.match(/found, (-?\\d+)/)
      if (found) wanted.add(Number(found[1]))
    }
  }
  return wanted.size === 1 ? [...wanted][0] : NaN
}"""
)
READ_FROM_STACK = with_total(
    """(items) => {
  for (const line of new Error().stack.split('\\n')) {
    const at = line.match(/\\(?(\\/[^:()]*cart\\.(?:test|spec)\\.js):(\\d+)/)
    if (!at) continue
    const lines = require('fs').readFileSync(at[1], 'utf8').split('\\n')
    const found = lines.slice(at[2] - 1, +at[2] + 2).join(' ').match(/(?:\\), (?:\\{ sum: )?|found, )(-?\\d+)/)
    if (found) return Number(found[1])
  }
  return NaN
}"""
)
COIN_IN_PROCESS = b"const coin = Math.random() < 0.5 ? 1 : -1\n" + CART.replace(b"sum - item", b"sum + coin * item")
