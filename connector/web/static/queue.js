// The queue: j and k walk through it, x chooses (a click with shift: all up to there), and dialogs ask what a deed needs.
// What happens elsewhere (a rep sends the draft, a step becomes due) has the list read anew, with the place, the choice
// and the focus kept.
(() => {
  "use strict";
  const queue = document.getElementById("queue");
  const ask = document.getElementById("ask");
  if (!queue) return;
  let current = null;
  let index = 0;
  let chosen = new Set();
  let everything = false;
  let last = null;
  let held = null;
  let waiting = null;

  const PART = "tr[data-task], .queue-bulk, nav";

  const rows = () => Array.from(queue.querySelectorAll("tr[data-task]"));
  const boxes = () => Array.from(queue.querySelectorAll("input[name='key']"));
  const fields = (part) => Array.from(part.querySelectorAll("a, button, input, select, summary"));

  const mark = (row, focus) => {
    for (const other of rows()) other.classList.toggle("current", other === row);
    current = row ? row.dataset.task : null;
    if (!row) return;
    index = rows().indexOf(row);
    if (focus) row.querySelector(".queue-what").focus();
    row.scrollIntoView({ block: "nearest" });
  };

  const count = () => {
    const place = document.getElementById("chosen");
    const all = document.getElementById("all");
    chosen = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
    everything = Boolean(all && all.checked);
    if (!place) return;
    place.dataset.none = place.dataset.none || place.textContent;
    if (everything || !chosen.size) place.textContent = place.dataset.none;
    else place.textContent = chosen.size === 1 ? place.dataset.one : place.dataset.many.replace("{n}", chosen.size);
  };

  // What has the focus is known again by its row or bar, and its number there.
  const hold = () => {
    const at = document.activeElement;
    const part = queue.contains(at) ? at.closest(PART) : null;
    held = part && { id: part.id, kind: part.className.split(" ")[0], at: fields(part).indexOf(at) };
  };

  const giveBack = () => {
    const part = held.id ? document.getElementById(held.id) : held.kind && queue.querySelector(`.${held.kind}`);
    const same = part && fields(part)[held.at];
    if (same) same.focus({ preventScroll: true });
  };

  // After a row went or the list was read anew: the same row, else the one that stands where it stood.
  const settle = () => {
    const lost = document.activeElement === document.body;
    const found = rows();
    const same = found.find((row) => row.dataset.task === current);
    if (lost && held) giveBack();
    if (same) mark(same, false);
    else if (current && found.length) mark(found[Math.min(index, found.length - 1)], document.activeElement === document.body);
    for (const box of boxes()) if (chosen.has(box.value)) box.checked = true;
    const all = document.getElementById("all");
    if (all) all.checked = everything;
    count();
  };

  const readAnew = () => {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = null;
      document.body.dispatchEvent(new CustomEvent("queue-changed"));
    }, 400);
  };

  document.addEventListener("click", (event) => {
    const move = event.target.closest("[data-move]");
    if (move) {
      const found = rows();
      const at = found.findIndex((row) => row.dataset.task === current);
      const to = at < 0 ? 0 : at + Number(move.dataset.move);
      if (found[to]) mark(found[to], true);
      return;
    }
    const row = event.target.closest("tr[data-task]");
    if (row && row.dataset.task !== current) mark(row, false);
    const asking = event.target.closest("[data-ask]");
    if (asking && ask) {
      event.preventDefault();
      event.stopPropagation();
      open(asking.dataset.ask, row.dataset.task);
    }
    if (event.target.closest("[data-close]")) ask.close();
  }, true);

  const open = (what, key) => {
    const form = ask.querySelector("form");
    form.action = `/tasks/${key}/${what}`;
    ask.querySelector("h2").textContent = ask.querySelector("h2").dataset[what];
    for (const field of ask.querySelectorAll("[data-for]")) field.hidden = field.dataset.for !== what;
    for (const field of ask.querySelectorAll("[name=outcome], [name=call_reason]")) field.value = "";
    ask.showModal();
    ask.querySelector(`[data-for="${what}"] input, [data-for="${what}"] select`).focus();
  };

  if (ask) {
    ask.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const form = event.target;
      window.htmx.ajax("POST", form.action, { source: form, target: "#said", swap: "innerHTML", values: Object.fromEntries(new FormData(form)) });
      ask.close();
    });
  }

  queue.addEventListener("click", (event) => {
    const box = event.target.closest("input[name='key']");
    if (!box) return;
    const found = boxes();
    const from = found.findIndex((one) => one.value === last);
    const to = found.indexOf(box);
    if (event.shiftKey && from >= 0) {
      for (const one of found.slice(Math.min(from, to), Math.max(from, to) + 1)) one.checked = box.checked;
    }
    last = box.value;
  });
  queue.addEventListener("change", count);
  // A browser that goes back ticks what was ticked.
  window.addEventListener("pageshow", count);
  document.body.addEventListener("live:task", readAnew);
  document.body.addEventListener("live:reload", readAnew);
  document.body.addEventListener("htmx:beforeSwap", hold);
  document.body.addEventListener("htmx:afterSettle", settle);
  document.body.addEventListener("htmx:oobAfterSwap", settle);
})();
