"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

  // A link to a match, a rollout or a step opens everything around it.
  function reveal() {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const found = id && document.getElementById(id);
    if (!found) return;
    for (let node = found; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    found.scrollIntoView({ block: "start" });
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

  addEventListener("hashchange", reveal);
  document.addEventListener("click", remember);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    const field = document.querySelector(".tools:not([hidden]) input[type=search]");
    if (field) { event.preventDefault(); field.focus(); }
  });
  all(".tools").forEach(searchable);
  all("table.sortable > thead > tr").forEach((row) => Array.from(row.cells).forEach(sortable));
  reveal();
})();
