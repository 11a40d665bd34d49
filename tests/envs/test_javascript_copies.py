"""Sentinels in JavaScript: where tests are found, what copies look like, and which changes certainly fail."""

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from envs.base import TestOutcome, TestPlace
from envs.copying import Target
from envs.javascript import JavaScriptFile
from envs.javascript.literals import differing
from envs.javascript.syntax import inside, parse
from envs.sentinel import Layout, Planting, plant, targets_of

FILE = b"""const assert = require('assert')
describe('cart', () => {
  it('adds', function () {
    'use strict'
    assert.equal(total([1, 2]), 3)
  })
  for (const n of [1, 2]) it('loops', () => assert.equal(n, n))
  it(`counts`, () => assert.deepStrictEqual(count([1]), { n: 1 }))
  it('cannot say', (done) => later(() => { assert.equal(1, 1) }))
})
test('twice', () => assert.ok(true))
test('twice', () => assert.ok(true))
"""
RNG = random.Random(3)


def target(name: str, path: str = "t.js") -> Target:
    return Target((f"{path}::{name}",), (path,), None, name, whole=f"{path}::{name}")


def planted(name: str, layout: Layout, source: bytes = FILE, path: str = "t.js") -> Planting:
    return plant({path: source}, [target(name, path)], layout, RNG)


def test_copies_stand_beside_the_test_with_titles_of_their_own() -> None:
    made = planted("cart > adds", Layout(None, (False, True)))
    text = made.files["t.js"].decode()
    titles = re.findall(r"it\(\"(adds \w+ \w+)\"", text)
    assert [one.name for one in made.sentinels] == titles
    assert [one.reported for one in made.sentinels] == [f"t.js::cart > {title}" for title in titles]
    assert text.count("it('adds', function () {\n    'use strict'\n    assert.equal(total([1, 2]), 3)\n  })") == 1
    assert len(re.findall(r"'use strict'\n    const \w+ = \d+; assert", text)) == 2


def test_outcomes_go_by_the_exact_ids_of_copies() -> None:
    made = planted("cart > counts", Layout(None, (True,)))
    [copy] = made.sentinels
    tests: dict[str, TestOutcome] = {"t.js::cart > counts": "passed", f"{copy.reported} > part": "passed"}
    assert copy.outcomes(tests) == {}
    tests[copy.reported] = "failed"
    assert copy.outcomes(tests) == {"t.js::cart > counts": "failed"}
    assert made.planted(tests) == {copy.reported, f"{copy.reported} > part"}
    assert made.untouched([*tests, "t.js::cart > counts more"]) == {"t.js::cart > counts more"}


@pytest.mark.parametrize("name", ["cart > loops", "twice", "cart > cannot say", "cart > none", "adds"])
def test_what_is_not_certainly_one_test_that_can_be_failed_is_uncovered(name: str) -> None:
    assert planted(name, Layout(True, (True,))).uncovered == (f"t.js::{name}",)


def test_what_cannot_be_parsed_is_uncovered() -> None:
    for source in (b"it('a', () => {", b"it('a', () => { assert.equal(f(), 1) }) \xff", b"x = <T,>(a: T) => a\n"):
        assert planted("a", Layout(True), source).uncovered


def test_typescript_is_read_as_such() -> None:
    source = b"test('a', (t: TestContext): void => { const n: number = f<number>(1); assert.equal(n as number, 1) })\n"
    assert planted("a", Layout(None, (True,)), source, "t.ts").sentinels
    assert planted("a", Layout(None, (True,)), source).uncovered


def test_a_test_with_subtests_is_copied_whole_and_only_if_it_is_fixed_whole() -> None:
    ids = ["t.js::outer", "t.js::outer > inner", "t.js::outer > other", "t.js::outermost"]
    places = {test: TestPlace(file="t.js", line=4) for test in ids}
    found = targets_of(ids, places, RNG)
    assert [one.ids for one in found] == [tuple(ids[:3]), ("t.js::outermost",)]
    assert found[0].narrowed(ids[:2]).files == ("t.js",)
    assert found[0].narrowed(ids[1:2]).files == ()


EXPECTATIONS = """
    assert.equal(3, 3)
    assert.equal('3', 3)
    assert.equal(3, '3')
    assert.equal(0, '')
    assert.equal(true, 1)
    assert.strictEqual('a\\n', 'a\\n')
    assert.strictEqual(`a${1}`, `a${1}`)
    assert.strictEqual('ab', 'a' + 'b')
    assert.strictEqual(-0.5, -0.5)
    assert.strictEqual(0x10, 16)
    assert.strictEqual(5n, 5n)
    assert.strictEqual(undefined, undefined)
    assert.strictEqual(null, null)
    assert.deepEqual([1, { a: [2] }], [1, { a: [2] }])
    assert.deepStrictEqual({}, {})
    assert.deepStrictEqual([], [])
    assert.deepStrictEqual({ ...{ a: 1 } }, { ...{ a: 1 } })
    assert.deepStrictEqual({ a: 1, 'b': undefined }, { a: 1, 'b': undefined })
    assert.strictEqual(3, Number('3'))
    assert.strictEqual(Number('3'), three)
    assert.notEqual(3, 4)
    assert.notStrictEqual(three, '3')
    assert.notDeepStrictEqual({ a: 1 }, { a: 2 })
    assert(three)
    assert(three === 3)
    assert.ok(three > 2)
    assert.throws(() => { throw new TypeError('no') })
    assert.throws(() => { throw new TypeError('no') }, TypeError)
    assert.throws(() => { throw new TypeError('no') }, /no/)
    assert.throws(() => { throw new TypeError('no') }, { message: 'no' })
    assert.doesNotThrow(() => {})
    assert.match('abc', /b/)
    assert.doesNotMatch('abc', /d/)
    await assert.rejects(Promise.reject(new Error('no')), /no/)
    await assert.rejects(async () => { throw new Error('no') })
    equal(three, 3)
    ok(three)
    return assert.strictEqual(three, 3)
    for (const n of [1, 2]) { assert.ok(n) }
    list.forEach((n) => { assert.strictEqual(n * 0, 0) })
    { assert.equal(three, 3) }
    await t.test('part', () => assert.equal(three, 3))
    expect(3).toBe(3)
    expect(3).to.equal(3)
    expect({ a: 1 }).to.deep.equal({ a: 1 })
    expect('abc').to.include('b')
    expect('abc').to.not.include('d')
    expect([1]).to.have.lengthOf(1)
    expect(three).to.be.true
    expect(() => { throw new Error('no') }).to.throw('no')
    three.should.equal(3)
    should.equal(three, 3)
"""
WORDS = """const assert = require('assert')
const { equal, ok } = assert
const three = 3
const list = [1, 2]
// The words of chai and jest, as far as they are used below.
const same = (one, other) => { try { assert.deepStrictEqual(one, other); return true } catch (error) { return false } }
const thrown = (run, words) => { try { run(); return false } catch (error) { return error.message.includes(words) } }
function expect(value, positive = true) {
  const check = (holds) => assert.strictEqual(Boolean(holds), positive)
  const words = {
    get not() { return expect(value, !positive) }, get true() { check(value) },
    get to() { return words }, get be() { return words }, get deep() { return words }, get have() { return words },
    equal: (other) => check(same(value, other)), toBe: (other) => check(Object.is(value, other)),
    include: (other) => check(value.includes(other)), lengthOf: (length) => check(value.length === length),
    throw: (said) => check(thrown(value, said)),
  }
  return words
}
Object.defineProperty(Number.prototype, 'should', { get() { return expect(Number(this)) } })
const should = assert
const { test } = require('node:test')
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_every_change_fails_and_every_copy_without_one_passes(tmp_path: Path) -> None:
    lines = [line.strip() for line in EXPECTATIONS.strip().splitlines()]
    tests = [f"test('n{number}', async (t) => {{\n  {line}\n}})" for number, line in enumerate(lines)]
    source = (WORDS + "\n".join(tests) + "\n").encode()
    wanted = dict.fromkeys(range(len(lines)), 0)
    edits: list[bytes] = [WORDS.encode()]
    for number in wanted:
        test = JavaScriptFile("t.js", source).find(target(f"n{number}"))
        assert test is not None, lines[number]
        ways = test.changed(RNG)
        wanted[number] = len(ways)
        edits += [test.copy(f"must fail {number} {at}", [*way, *test.restated(RNG)]) for at, way in enumerate(ways)]
        edits.append(test.copy(f"must pass {number}", test.restated(RNG)))
    assert [lines[number] for number, ways in wanted.items() if not ways] == []
    (tmp_path / "t.test.js").write_bytes(b"\n".join(edits))
    ran = subprocess.run(["node", "--test", "--test-reporter=tap", "."], cwd=tmp_path, capture_output=True, text=True)
    found = re.findall(r"^(not ok|ok) \d+ - must (pass|fail) (\d+)", ran.stdout, re.MULTILINE)
    assert len(found) == sum(wanted.values()) + len(wanted), ran.stdout[-2000:]
    wrong = [(lines[int(number)], must) for end, must, number in found if (end == "ok") != (must == "pass")]
    assert not wrong


CERTAIN = {
    "(done) => { get((err, x) => { if (err) return done(err); assert.equal(x, 3); done() }) }": 1,
    "(done) => { get().then((x) => { assert.equal(x, 3); done() }).catch(done) }": 1,
    "(done) => { get((x) => { assert.equal(x, 3); done() }); other(done) }": 0,
    "(done) => { get((x) => { assert.equal(x, 3) }); done() }": 0,
    "() => { if (x) { assert.equal(x, 3) } }": 0,
    "() => { if (x) return; assert.equal(x, 3) }": 0,
    "() => { try { assert.equal(x, 3) } catch (e) {} }": 0,
    "() => { items.forEach((x) => assert.equal(x, 3)) }": 0,
    "() => { for (const x of items) assert.equal(x, 3) }": 0,
    "() => { [].forEach((x) => assert.equal(x, 3)) }": 0,
    "() => { assert.rejects(go()) }": 0,
    "() => { thing.equals(x, 3); match(x, /a/) }": 0,
    "() => { assert.equal(...both, 3) }": 0,
    "function* () { assert.equal(x, 3) }": 0,
    "wrap(() => assert.equal(x, 3))": 0,
}


@pytest.mark.parametrize("function", CERTAIN)
def test_a_change_is_made_only_where_a_passing_test_is_certain_to_come_by(function: str) -> None:
    made = planted("a", Layout(True), f"it('a', {function})\n".encode())
    assert len(made.sentinels) == CERTAIN[function]


def test_literals_differ_in_their_kind() -> None:
    def other(text: str) -> str:
        [statement] = inside(parse("t.js", f"({text})".encode()))
        return (differing(inside(inside(statement)[0])[0], RNG) or b"").decode()

    assert re.fullmatch(r"\d{4,}", other("3"))
    assert re.fullmatch(r"'it\\'s[a-z]{6}'", other("'it\\'s'"))
    assert re.fullmatch(r"\{ a: \d+ \}", other("{ a: 1 }"))
    assert other("f(1)") == ""
