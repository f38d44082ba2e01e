// Keeps a line to /feed/stream open while its page is looked at, and hands what comes on as events of <body>:
// live:feed, live:task, live:reload, live:end, with the message's data as `detail`; and live:line, whose detail says
// whether the line is open. A page asks for it with data-stream="/feed/stream?…" on any element.
//
// A browser opens six lines to a server at most, however many tabs there are: a tab that nobody sees gives its line back,
// and says where it was when it is seen again.
(() => {
  "use strict";
  const asking = document.querySelector("[data-stream]");
  if (!asking || !("EventSource" in window)) return;
  const address = new URL(asking.dataset.stream, location.href);
  let line = null;
  let ended = false;

  const tell = (name, detail) => document.body.dispatchEvent(new CustomEvent(`live:${name}`, { detail }));

  const open = () => {
    if (line || ended || document.hidden) return;
    line = new EventSource(address);
    line.onopen = () => tell("line", { open: true });
    line.onerror = () => {
      tell("line", { open: false });
      if (line && line.readyState === EventSource.CLOSED) {
        // Refused, not lost: the browser does not ask again by itself.
        close();
        setTimeout(open, 15000);
      }
    };
    for (const name of ["feed", "task", "reload", "beat", "end"]) {
      line.addEventListener(name, (message) => {
        if (message.lastEventId) address.searchParams.set("after", message.lastEventId);
        if (name === "end") {
          ended = true;
          close();
        }
        if (name !== "beat") tell(name, JSON.parse(message.data));
      });
    }
  };

  const close = () => {
    if (line) line.close();
    line = null;
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
})();
