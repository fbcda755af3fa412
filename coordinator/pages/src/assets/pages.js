// What pages do beyond links and forms. Every page can be read without it. No element gets HTML but a live region, whose HTML
// the same program rendered.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  document.documentElement.classList.add("on");

  // Sorting. A cell's value is its own data-value, or that of the element in it that shows a number.
  const value = (cell) => {
    const own = cell.dataset.value ?? one("[data-value]", cell)?.dataset.value ?? one("[data-low]", cell)?.dataset.low;
    return own ?? (one(".missing", cell) ? "" : cell.textContent.trim());
  };
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sort = (button) => {
    const head = button.closest("th");
    const table = head.closest("table");
    const column = [...head.parentNode.children].indexOf(head);
    const descending = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : !head.classList.contains("l") && !head.classList.contains("rank");
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
    // What has no value stays last, whichever way the others are sorted.
    rows.sort(([a], [b]) => (a === "") - (b === "") || (descending ? compare(b, a) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
    table.dataset.changed = "yes";
  };

  // Filtering by the text of a row.
  const filter = (field) => {
    const table = document.getElementById(field.dataset.filter);
    const wanted = field.value.trim().toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !(row.dataset.search ?? row.textContent.toLowerCase()).includes(wanted);
    table.dataset.changed = "yes";
    const rows = [...table.tBodies[0].rows];
    const count = one(`[data-count="${table.id}"]`);
    count.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  };

  // CSV and JSON of exactly the visible rows, in their order.
  const quoted = (cell) => (cell === null ? "" : /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : String(cell));
  const exported = (event) => {
    const link = event.currentTarget;
    const table = document.getElementById(link.dataset.of);
    if (!table.dataset.changed) return;
    event.preventDefault();
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => JSON.parse(row.dataset.row));
    const names = Object.keys(JSON.parse(table.tBodies[0].rows[0].dataset.row));
    const csv = () => [names, ...rows.map((row) => names.map((name) => row[name]))].map((row) => row.map(quoted).join(",")).join("\n");
    const text = link.dataset.export === "CSV" ? csv() : JSON.stringify(rows, null, 2);
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob([text + "\n"], { type: link.dataset.export === "CSV" ? "text/csv" : "application/json" }));
    file.download = link.getAttribute("href").split("/").pop();
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 1000);
  };

  // Two chosen rows lead to their comparison: the better row, which came first, is the first of the pair.
  const choose = (place, table) => {
    const boxes = all("td.pick input:checked", table).sort((a, b) => a.closest("tr").dataset.index - b.closest("tr").dataset.index);
    all("tr", table).forEach((row) => row.classList.toggle("chosen", !!one("td.pick input:checked", row)));
    all("td.pick input:not(:checked)", table).forEach((box) => (box.disabled = boxes.length >= 2));
    place.replaceChildren();
    if (boxes.length === 0) place.textContent = "Choose two rows to compare them.";
    if (boxes.length === 1) place.textContent = `${boxes[0].value} and …`;
    if (boxes.length === 2) {
      const link = document.createElement("a");
      link.href = `${place.dataset.base}${boxes[0].dataset.segment}/${boxes[1].dataset.segment}.html`;
      link.textContent = `Compare ${boxes[0].value} and ${boxes[1].value}`;
      place.append(link);
    }
  };

  // What a mark of a chart says, as soon as the pointer is over it.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  const texts = new WeakMap();
  const point = (event) => {
    const mark = event.target.closest?.(".area circle, .area rect, .area path");
    const title = mark && one("title", mark);
    // The browser's own tip would cover ours.
    if (title) { texts.set(mark, title.textContent); title.remove(); }
    if (!mark || !texts.has(mark)) return void (tip.hidden = true);
    tip.textContent = texts.get(mark);
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(event.clientY - tip.offsetHeight - 10, 4)}px`;
  };

  // One algorithm of a scatter alone, while its button is pressed.
  const highlight = (button) => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    const legend = button.closest(".legend");
    all("button", legend).forEach((other) => other.setAttribute("aria-pressed", String(other === button && pressed)));
    all(".area circle[data-series]").forEach((mark) => mark.classList.toggle("off", pressed && mark.dataset.series !== button.dataset.series));
  };

  // Keys of a page's neighbours: not while something is typed or a slider has the arrows.
  const typing = (event) => event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, summary");
  document.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const link = rel && one(`a[rel=${rel}]`);
    if (link) link.click();
  });

  // Live regions: server-sent events, and polling where they fail.
  const live = (region) => {
    const show = (html) => {
      const open = new Set(all("details[open][id]", region).map((details) => details.id));
      const focused = document.activeElement?.id;
      region.innerHTML = html;
      all("details[id]", region).forEach((details) => (details.open = open.has(details.id)));
      if (focused && region.contains(document.getElementById(focused))) document.getElementById(focused).focus();
      bind(region);
      // A filter stays in force over the new rows.
      all("input[data-filter]").filter((field) => field.value && region.contains(document.getElementById(field.dataset.filter))).forEach(filter);
    };
    let timer = null;
    const poll = () => fetch(region.dataset.poll, { credentials: "same-origin" }).then((answer) => (answer.ok ? answer.text().then(show) : null)).catch(() => null);
    const listen = () => {
      const source = new EventSource(region.dataset.events);
      source.onopen = () => { clearInterval(timer); timer = null; };
      source.onmessage = (event) => show(event.data);
      source.onerror = () => {
        timer ??= setInterval(poll, 5000);
        if (source.readyState === EventSource.CLOSED) setTimeout(listen, 60000);
      };
    };
    listen();
  };

  const bind = (root) => {
    all("button[data-sort]", root).forEach((button) => button.addEventListener("click", () => sort(button)));
    all("input[data-filter]", root).forEach((field) => field.addEventListener("input", () => filter(field)));
    all("a[data-export]", root).forEach((link) => link.addEventListener("click", exported));
    all(".legend button", root).forEach((button) => button.addEventListener("click", () => highlight(button)));
    all("[data-compare]", root).forEach((place) => {
      const table = document.getElementById(place.dataset.compare);
      table?.addEventListener("change", () => choose(place, table));
    });
  };
  document.body.append(tip);
  document.addEventListener("pointermove", point);
  bind(document);
  all("[data-events]").forEach(live);
})();
