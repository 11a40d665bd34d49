"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

  const tasks = all("details.task"), start = { y: 0 };

  // One task at a time is a page of its own: the overview gives way to it.
  function turn(found) {
    if (tasks.length < 2) return;
    const wanted = found && found.closest("details.task"), was = document.body.classList.contains("one-task");
    if (wanted && !was) start.y = scrollY;
    document.body.classList.toggle("one-task", !!wanted);
    if (wanted || was) for (const task of tasks) task.open = task === wanted;
    if (wanted === found && found) scrollTo(0, 0);
    if (!wanted && was) scrollTo(0, start.y);
  }

  // A link to a match, a rollout or a step opens everything around it.
  function reveal() {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const found = id && document.getElementById(id);
    turn(found || null);
    if (!found || found.matches("details.task")) return;
    for (let node = found; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    const match = found.matches("details.match");
    if (match) {
      for (const other of all("details.match", found.parentElement)) other.open = other === found;
      const tree = found.closest(".bracket");
      for (const box of all("a.at-match", tree)) box.classList.toggle("shown", box.getAttribute("href") === "#" + id);
      const list = found.parentElement;
      if (list.scrollHeight > list.clientHeight) list.scrollTop = found.offsetTop - list.offsetTop;
    }
    found.scrollIntoView({ block: match ? "nearest" : "start" });
  }

  // Opening a step or a rollout by hand makes the address a link to it.
  function remember(event) {
    const summary = event.target.closest("summary"), opened = summary && summary.parentElement;
    if (opened && !opened.open && opened.id && opened.matches("details.step, details.rollout, details.match"))
      history.replaceState(null, "", "#" + opened.id);
  }

  function searchable(box) {
    const field = box.querySelector("input[type=search]"), scope = document.getElementById(box.dataset.scope);
    if (!field || !scope) return;
    const items = all(box.dataset.items, scope), count = box.querySelector("output");
    let texts = null, timer = 0;
    const apply = () => {
      const wanted = field.value.trim().toLowerCase();
      texts = texts || items.map((item) => item.textContent.toLowerCase());
      let shown = 0;
      items.forEach((item, place) => {
        const match = !wanted || texts[place].includes(wanted);
        item.hidden = !match;
        shown += match;
      });
      if (count) count.textContent = wanted ? shown + " of " + items.length : "";
    };
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
    for (const button of all("button[data-open]", box))
      button.addEventListener("click", () => {
        const open = button.dataset.open === "yes";
        for (const item of items) if (item.tagName === "DETAILS" && !item.hidden) item.open = open;
      });
    box.hidden = false;
  }

  const make = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  // A diff's rows with the old file on the left and the new one on the right.
  function split(table) {
    const body = make("tbody"), rows = Array.from(table.tBodies[0].rows);
    const cell = (row, place, kind) => {
      const made = row ? row.cells[place].cloneNode(true) : make("td", "", "gap");
      if (row && kind) made.classList.add(kind);
      return made;
    };
    const pair = (left, right) => {
      const row = make("tr");
      row.append(cell(left, 0, left && left.className), cell(left, 3, left && left.className));
      row.append(cell(right, 1, right && right.className), cell(right, 3, right && right.className));
      body.append(row);
    };
    for (let at = 0; at < rows.length; ) {
      const kind = rows[at].className;
      if (kind === "hunk" || kind === "note") {
        const row = make("tr", "", kind), whole = rows[at].cells[3].cloneNode(true);
        whole.colSpan = 4;
        row.append(whole);
        body.append(row);
        at += 1;
      } else if (kind === "same") {
        pair(rows[at], rows[at]);
        at += 1;
      } else {
        const gone = [], come = [];
        while (at < rows.length && rows[at].className === "del") gone.push(rows[at++]);
        while (at < rows.length && rows[at].className === "add") come.push(rows[at++]);
        for (let one = 0; one < Math.max(gone.length, come.length); one++) pair(gone[one], come[one]);
      }
    }
    const made = make("table", "", "split"), widths = make("colgroup");
    for (const kind of ["at", "", "at", ""]) widths.append(make("col", "", kind));
    made.append(widths, body);
    return made;
  }

  // Each patch can be read in one column or in two.
  function twoColumns(patch) {
    const bar = make("div", "", "tools"), button = make("button"), within = patch.querySelector(":scope > .inside") || patch;
    let two = false;
    const show = () => {
      for (const holder of all(".diff .rows", within)) {
        const plain = holder.firstElementChild;
        if (two && !plain.nextElementSibling) holder.append(split(plain));
        plain.hidden = two;
        if (plain.nextElementSibling) plain.nextElementSibling.hidden = !two;
      }
      button.textContent = two ? "In one column" : "Side by side";
    };
    button.type = "button";
    button.addEventListener("click", () => { two = !two; show(); });
    bar.append(button);
    within.prepend(bar);
    two = within === patch && innerWidth >= 1000;
    show();
  }

  // Two patches of a task beside each other, chosen from lists.
  function compare(place) {
    const own = place.closest("details.task, main"), patches = all(".patch", own);
    if (patches.length < 2) return;
    const bar = make("div", "", "tools"), sides = make("div", "", "sides"), choices = [];
    bar.append(make("span", "Compare", "soft"));
    for (const side of [0, 1]) {
      const list = make("select"), column = make("div");
      list.name = side ? "right" : "left";
      list.setAttribute("aria-label", side ? "right patch" : "left patch");
      list.append(make("option", "choose a patch"));
      for (const patch of patches) list.append(make("option", patch.dataset.name));
      const show = () => {
        const patch = patches[list.selectedIndex - 1];
        column.replaceChildren();
        if (!patch) return;
        column.append(make("p", "Patch " + patch.dataset.name, "soft"));
        for (const diff of all(".diff", patch)) {
          const copy = diff.cloneNode(true);
          for (const table of all("table", copy)) if (table.matches(".split")) table.remove(); else table.hidden = false;
          column.append(copy);
        }
      };
      list.addEventListener("change", () => {
        if (choices[1 - side].list.selectedIndex === 0)
          choices[1 - side].list.selectedIndex = list.selectedIndex === 1 ? 2 : 1;
        for (const choice of choices) choice.show();
      });
      choices.push({ list, show });
      bar.append(list);
      sides.append(column);
    }
    place.append(bar, sides);
    place.hidden = false;
  }

  // Pointing at a rollout in a bracket shows its way through it.
  function trace(event) {
    const line = event.target.closest && event.target.closest("svg .who"), tree = event.target.closest && event.target.closest("svg");
    if (!tree || !tree.querySelector(".who")) return;
    const who = line && line.dataset.who;
    for (const one of all(".who", tree)) one.classList.toggle("trace", !!who && one.dataset.who === who);
  }

  function sortable(head, place) {
    head.tabIndex = 0;
    head.style.cursor = "pointer";
    head.title = "sort";
    const sort = () => {
      const body = head.closest("table").tBodies[0], down = head.getAttribute("aria-sort") === "descending";
      const key = (row) => row.cells[place] ? row.cells[place].dataset.key || row.cells[place].textContent.trim() : "";
      const rows = Array.from(body.rows).filter((row) => !row.classList.contains("total"));
      const compare = (a, b) => {
        const left = parseFloat(key(a)), right = parseFloat(key(b));
        if (!isNaN(left) && !isNaN(right)) return left - right;
        return isNaN(left) === isNaN(right) ? key(a).localeCompare(key(b)) : isNaN(left) ? -1 : 1;
      };
      rows.sort((a, b) => (down ? compare(a, b) : compare(b, a)));
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      const total = Array.from(body.rows).find((row) => row.classList.contains("total"));
      for (const row of rows) body.insertBefore(row, total || null);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  }

  document.body.classList.toggle("paged", tasks.length > 1);
  addEventListener("hashchange", reveal);
  document.addEventListener("click", remember);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    const field = document.querySelector(".tools:not([hidden]) input[type=search]");
    if (field) { event.preventDefault(); field.focus(); }
  });
  document.addEventListener("pointerover", trace);
  all(".tools").forEach(searchable);
  all(".compare").forEach(compare);
  all(".patch").forEach(twoColumns);
  all("table.sortable > thead > tr").forEach((row) => Array.from(row.cells).forEach(sortable));
  reveal();
})();
