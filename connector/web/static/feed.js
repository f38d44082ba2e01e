// The feed goes on by itself: new lines join their person at the top. Paused, they wait and are counted.
(() => {
  "use strict";
  const list = document.getElementById("feed");
  const status = document.getElementById("feed-status");
  const button = document.getElementById("feed-pause");
  if (!list || !list.dataset.stream || !("EventSource" in window)) return;
  const MOST = 100;
  const waiting = [];
  let paused = false;
  let stale = false;
  let state = status.dataset.live;

  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };

  const add = (said) => {
    const made = document.createElement("template");
    made.innerHTML = said.html;
    const group = made.content.querySelector(".feed-group");
    const known = said.person
      ? [...list.children].find((one) => one.dataset.person === said.person)
      : null;
    if (known && !known.contains(document.activeElement)) {
      known.querySelector(".feed-lines").prepend(...group.querySelectorAll(".feed-line"));
      list.prepend(known);
    } else if (known) {
      // What has the focus stays where it is.
      known.querySelector(".feed-lines").prepend(...group.querySelectorAll(".feed-line"));
    } else {
      list.prepend(group);
    }
    for (const old of [...list.children].slice(MOST)) {
      if (!old.contains(document.activeElement)) old.remove();
    }
    document.querySelector("#feed + .empty")?.remove();
  };

  document.body.addEventListener("live:feed", (event) => {
    if (paused) {
      waiting.push(event.detail);
      say(`${status.dataset.paused} ${waiting.length}`);
    } else {
      add(event.detail);
    }
  });
  document.body.addEventListener("live:reload", () => {
    stale = true;
    if (!paused) location.reload();
  });
  document.body.addEventListener("live:end", () => say((state = status.dataset.ended)));
  document.body.addEventListener("live:line", (event) => {
    state = event.detail.open ? status.dataset.live : status.dataset.lost;
    if (!paused) say(state);
  });

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? button.dataset.resume : button.dataset.pause;
    if (!paused && stale) location.reload();
    if (!paused) waiting.splice(0).forEach(add);
    say(paused ? `${status.dataset.paused} 0` : state);
  });
})();
