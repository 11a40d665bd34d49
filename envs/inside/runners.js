// Loaded into every Node.js process of a test command through NODE_OPTIONS, so that the runner behind a script
// (`npm test`, `nyc mocha`, `c8 node --test`) reports test by test. `node --test` and mocha report each test over the
// pipe that leads out of the sandbox, as recorder.py does for Python; jest and vitest are asked to write a report.
// What they print stays as it is. Node.js 8 or later. No fault in here may change how the command ends.
//
// Code under test may share the process (mocha) and may replace anything that is reachable: what is needed later is
// captured here, before such code is loaded. Sentinel tests guard against results that are forged all the same.
"use strict";

const fs = require("fs");
const Module = require("module");
const path = require("path");

const VARIABLE = "HEATS_RESULTS";
const NONCE = "HEATS_NONCE";
const { fstatSync, openSync, writeSync } = fs;
const { stringify } = JSON;
const { apply } = Reflect;
const pid = process.pid;
const bytes = Buffer.from.bind(Buffer);

const REPORTER = path.join(__dirname, "reporter.js");
const REPORT = path.join(__dirname, `results-${pid}.json`);
const ASKED = [
  {
    name: "jest",
    program: /[\\/]jest(-cli)?[\\/]bin[\\/]jest\.js$/,
    given: /^--(json|outputFile)\b/,
    words: ["--json", `--outputFile=${REPORT}`],
  },
  {
    name: "vitest",
    program: /[\\/]vitest[\\/]vitest\.mjs$/,
    given: /^--(reporter|outputFile)\b/,
    words: ["--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`],
  },
];

// Writes lines of JSON to a descriptor of the shell that runs the command, from any depth of its process tree.
class Pipe {
  constructor(name) {
    this.name = name;
    this.fd = -1;
    this.identity = "";
  }

  say(...words) {
    let line = `${NONCE}[${pid}`;
    for (let at = 0; at < words.length; at++) line += `,${flat(words[at])}`;
    const data = bytes(`${line}]\n`);
    try {
      this.open();
      for (let done = 0; done < data.length; ) done += writeSync(this.fd, data, done, data.length - done);
    } catch (_) {
      // The reader is gone: it notices what is missing.
    }
  }

  // Opens the pipe, again if the code under test closed the descriptor or put another file in its place.
  open() {
    let found = "";
    try {
      found = this.fd < 0 ? "" : identity(this.fd);
    } catch (_) {
      this.fd = -1;
    }
    if (this.fd >= 0 && found === this.identity) return;
    this.fd = openSync(this.name, "w");
    this.identity = identity(this.fd);
  }
}

function identity(fd) {
  const found = fstatSync(fd);
  return `${found.dev}:${found.ino}`;
}

// JSON of a value or a list of strings; without `toJSON`, which code under test could define.
function flat(value) {
  if (typeof value !== "object" || value === null) return stringify(value);
  let text = "";
  for (let at = 0; at < value.length; at++) text += (at ? "," : "") + stringify(`${value[at]}`);
  return `[${text}]`;
}

// The pipe for the first runner in a process tree, undefined for all others; child processes do not inherit it.
function takePipe() {
  const name = process.env[VARIABLE];
  if (name === undefined) return undefined;
  delete process.env[VARIABLE];
  const ours = `--require=${__filename}`;
  const rest = (process.env.NODE_OPTIONS || "").split(" ").filter((word) => word && word !== ours);
  if (rest.length) process.env.NODE_OPTIONS = rest.join(" ");
  else delete process.env.NODE_OPTIONS;
  return new Pipe(name);
}

function ask() {
  const program = fs.realpathSync(process.argv[1]);
  const one = ASKED.find((known) => known.program.test(program));
  if (one === undefined) return;
  if (VARIABLE in process.env) new Pipe(process.env[VARIABLE]).say("asked", one.name);
  if (process.argv.slice(2).some((word) => one.given.test(word))) return;
  const end = process.argv.indexOf("--");
  process.argv.splice(end < 0 ? process.argv.length : end, 0, ...one.words);
}

function awaitMocha() {
  const load = Module._load;
  let found = false;
  Module._load = function (request) {
    const loaded = load.apply(this, arguments);
    if (!found && /(^|[\\/])runner(\.js)?$/.test(request)) {
      quietly(() => {
        if (!/[\\/]mocha[\\/]lib[\\/]runner\.js$/.test(Module._resolveFilename(request, arguments[1]))) return;
        found = true;
        const pipe = takePipe();
        if (pipe !== undefined) observe(loaded.Runner || loaded, pipe);
      });
    }
    return loaded;
  };
}

function observe(Runner, pipe) {
  const emit = Runner.prototype.emit;
  const recorded = new MochaRun(pipe);
  Runner.prototype.emit = function (event, test) {
    quietly(() => recorded.take(this, event, test));
    return apply(emit, this, arguments);
  };
}

// The outermost run of mocha; runs that tests start are not recorded.
class MochaRun {
  constructor(pipe) {
    this.pipe = pipe;
    this.runner = null;
    this.seen = Object.create(null);
    this.count = 0;
    this.failed = false;
  }

  take(runner, event, test) {
    if (event === "start" && this.runner === null) {
      this.runner = runner;
      this.pipe.say("start", "mocha", process.cwd());
    }
    if (this.runner !== runner) return;
    if (event === "test") this.number(test);
    else if (event === "pass") this.end(test, "passed");
    else if (event === "pending") this.end(test, "skipped");
    else if (event === "fail" && test.type === "hook") this.hook(test);
    else if (event === "fail") this.end(test, "failed");
    else if (event === "end") {
      this.pipe.say("done", this.failed ? 1 : 0);
      this.runner = null;
    }
  }

  end(test, outcome) {
    if (outcome === "failed" || outcome === "error") this.failed = true;
    this.pipe.say("end", this.number(test), outcome);
  }

  // A failed hook is the outcome of the test that it ran for and of every test that does not run because of it.
  hook(hook) {
    const affected = [];
    const current = hook.ctx && hook.ctx.currentTest;
    if (current && (current.titlePath || current.parent)) affected.push(current);
    if (hook.parent && hook.parent.eachTest) {
      hook.parent.eachTest((test) => {
        if (!(key(test) in this.seen)) affected.push(test);
      });
    }
    for (const test of affected.length ? affected : [hook]) this.end(test, "error");
  }

  // The number of a test; a new test is first announced with its titles and its file.
  number(test) {
    const name = key(test);
    if (!(name in this.seen)) {
      this.seen[name] = this.count++;
      this.pipe.say("test", this.seen[name], titles(test), 0, test.file || "");
    }
    return this.seen[name];
  }
}

function key(test) {
  return flat([test.file || "", ...titles(test)]);
}

function titles(test) {
  if (typeof test.titlePath === "function") return test.titlePath();
  const found = [];
  for (let one = test; one && !one.root; one = one.parent) found.unshift(one.title);
  return found;
}

// `node --test` starts again with `reporter.js` as a further reporter: the process that collects results runs no test.
function addReporter() {
  if (!process.execArgv.includes("--test") || process.env.NODE_TEST_CONTEXT || !(VARIABLE in process.env)) return;
  if (process.execArgv.some((word) => word.startsWith("--watch"))) return;
  if (!process.allowedNodeEnvironmentFlags.has("--test-reporter")) return;
  const given = (option) =>
    [...process.execArgv, ...(process.env.NODE_OPTIONS || "").split(" ")].filter(
      (word) => word === option || word.startsWith(`${option}=`)
    ).length;
  const reporters = given("--test-reporter");
  const destinations = given("--test-reporter-destination");
  const shown = process.stdout.isTTY || Number(process.versions.node.split(".")[0]) >= 23 ? "spec" : "tap";
  const added = reporters ? [] : [`--test-reporter=${shown}`];
  if (Math.max(reporters, 1) === destinations + 1) added.push("--test-reporter-destination=stdout");
  else if (reporters !== destinations) return;
  added.push(`--test-reporter=${REPORTER}`, "--test-reporter-destination=/dev/null");
  const words = [...process.execArgv, ...added, ...process.argv.slice(1)];
  const ended = require("child_process").spawnSync(process.execPath, words, { stdio: "inherit" });
  if (ended.error === undefined) process.exit(ended.status === null ? 1 : ended.status);
}

function quietly(work) {
  try {
    work();
  } catch (_) {
    // What is missing shows in the results.
  }
}

if (process.execArgv.includes(`--test-reporter=${REPORTER}`)) {
  exports.pipe = takePipe();
} else {
  quietly(addReporter);
  quietly(awaitMocha);
  if (process.argv.length > 1) quietly(ask);
}
