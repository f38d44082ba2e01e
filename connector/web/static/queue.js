// The queue: j and k walk through it, x chooses, and dialogs ask what a deed needs. What happens elsewhere (a rep sends
// the draft, a step becomes due) has the list read anew, with the place and the choice kept.
(() => {
  "use strict";
  const queue = document.getElementById("queue");
  const ask = document.getElementById("ask");
  if (!queue) return;
  let current = null;
  let index = 0;
  let chosen = new Set();
  let waiting = null;

  const rows = () => Array.from(queue.querySelectorAll("tr[data-task]"));

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
    const boxes = Array.from(queue.querySelectorAll("input[name='key']"));
    chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    if (!place || all.checked) return;
    if (!chosen.size) place.textContent = place.dataset.none || (place.dataset.none = place.textContent);
    else {
      place.dataset.none = place.dataset.none || place.textContent;
      place.textContent = chosen.size === 1 ? place.dataset.one : place.dataset.many.replace("{n}", chosen.size);
    }
  };

  // After a row went or the list was read anew: the same row, else the one that stands where it stood.
  const settle = (focus) => {
    const found = rows();
    const same = found.find((row) => row.dataset.task === current);
    if (same) mark(same, false);
    else if (current && found.length) mark(found[Math.min(index, found.length - 1)], focus);
    for (const box of queue.querySelectorAll("input[name='key']")) if (chosen.has(box.value)) box.checked = true;
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

  queue.addEventListener("change", count);
  document.body.addEventListener("live:task", readAnew);
  document.body.addEventListener("live:reload", readAnew);
  document.body.addEventListener("htmx:afterSettle", () => settle(document.activeElement === document.body));
  document.body.addEventListener("htmx:oobAfterSwap", () => settle(document.activeElement === document.body));
})();
