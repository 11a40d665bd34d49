// Loaded into every Node.js process of a test command through NODE_OPTIONS, so that the runner behind a script
// (`npm test`, `nyc mocha`) reports test by test: mocha is observed, jest and vitest are asked to write a report as well.
// What they print stays as it is. Node.js 8 or later. No fault in here may change how the command ends.
"use strict";

const fs = require("fs");
const Module = require("module");
const path = require("path");

const REPORT = path.join(__dirname, `results-${process.pid}.json`);
const ASKED = [
  {
    program: /[\\/]jest(-cli)?[\\/]bin[\\/]jest\.js$/,
    given: /^--(json|outputFile)\b/,
    words: ["--json", `--outputFile=${REPORT}`],
  },
  {
    program: /[\\/]vitest[\\/]vitest\.mjs$/,
    given: /^--(reporter|outputFile)\b/,
    words: ["--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`],
  },
];
const ENDS = new Map([["pass", "passes"], ["fail", "failures"], ["pending", "pending"]]);

function ask() {
  const program = fs.realpathSync(process.argv[1]);
  const one = ASKED.find((known) => known.program.test(program));
  if (one === undefined || process.argv.slice(2).some((word) => one.given.test(word))) return;
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
        observe(loaded);
      });
    }
    return loaded;
  };
}

function observe(Runner) {
  const report = { stats: {}, passes: [], failures: [], pending: [] };
  const emit = Runner.prototype.emit;
  Runner.prototype.emit = function (event, test) {
    if (ENDS.has(event)) {
      quietly(() => report[ENDS.get(event)].push({ fullTitle: test.fullTitle(), file: test.file }));
    }
    return emit.apply(this, arguments);
  };
  process.on("exit", () => quietly(() => fs.writeFileSync(REPORT, JSON.stringify(report))));
}

function quietly(work) {
  try {
    work();
  } catch (_) {
    // Results are then read from what the runner prints.
  }
}

quietly(awaitMocha);
if (process.argv.length > 1) quietly(ask);
