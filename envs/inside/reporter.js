// A reporter of `node --test`, which runners.js asks for. It runs in the process that collects the results, and no test
// does. Node.js 18.15 or later.
"use strict";

const path = require("path");

const { pipe } = require("./runners.js");

module.exports = async function* report(source) {
  if (pipe === undefined) return;
  pipe.say("start", "node:test", process.cwd());
  const recorded = new NodeRun(pipe);
  for await (const event of source) recorded.take(event);
  pipe.say("done", recorded.failed ? 1 : 0);
};

// Tests are numbered as they end. Only the end of a suite tells that it is none: what is in it waits until then.
class NodeRun {
  constructor(pipe) {
    this.pipe = pipe;
    this.waiting = [];
    this.count = 0;
    this.failed = false;
  }

  take({ type, data }) {
    if (type !== "test:pass" && type !== "test:fail") return;
    const passed = type === "test:pass";
    const inside = this.waiting[data.nesting + 1] || [];
    this.waiting.length = data.nesting + 1;
    const found = [];
    const suite = data.details && data.details.type === "suite";
    if (!suite || (!passed && !inside.some((one) => one.outcome === "failed"))) {
      const given = (word) => word !== undefined && word !== false;
      const outcome = given(data.skip) || given(data.todo) ? "skipped" : passed ? "passed" : "failed";
      found.push({ titles: [], line: data.line, file: data.file, outcome });
    }
    for (const one of [...found, ...inside]) one.titles.unshift(data.name);
    found.push(...inside);
    if (data.nesting) this.waiting[data.nesting] = [...(this.waiting[data.nesting] || []), ...found];
    else for (const one of found) this.say(one);
  }

  say(one) {
    const number = this.count++;
    if (one.outcome === "failed") this.failed = true;
    const wholeFile = one.file !== undefined && one.titles.length === 1 && path.resolve(one.titles[0]) === one.file;
    this.pipe.say("test", number, wholeFile ? [] : one.titles, one.line || 0, one.file || "");
    this.pipe.say("end", number, one.outcome);
  }
}
