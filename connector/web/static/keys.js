// Keys: data-key="c" on a button, link or field makes that key press it (or focus a field). Nothing fires while one types.
// "?" lists the keys of the page. Also here: trouble that a request of htmx met is said in the page's notice.
(function () {
  "use strict";

  function typing(target) {
    return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !/^(checkbox|radio)$/.test(target.type);
  }

  // What stands in a closed menu has its key all the same.
  function shown(element) {
    return !element.disabled && (element.getClientRects().length > 0 || element.closest(".menu") !== null);
  }

  function close(menu) {
    var inside = menu.contains(document.activeElement);
    menu.open = false;
    if (inside) { menu.querySelector("summary").focus(); }
  }

  // Before the page's own scripts stop the click.
  document.addEventListener("click", function (event) {
    document.querySelectorAll(".menu[open]").forEach(function (menu) {
      if (!menu.contains(event.target) || event.target.closest(".menu > div > *")) { close(menu); }
    });
  }, true);

  // Of several with one key, the one in the current row counts, else the first that shows; where there is a current row,
  // never one in another.
  function holder(key) {
    var all = Array.from(document.querySelectorAll('[data-key="' + CSS.escape(key) + '"]')).filter(shown);
    var row = document.querySelector("tr.current");
    return all.find(function (one) { return row && row.contains(one); })
      || all.find(function (one) { return !row || !one.closest("tr"); });
  }

  function list() {
    var dialog = document.getElementById("keys"), place = document.getElementById("keys-list"), seen = {};
    if (!dialog) { return; }
    place.replaceChildren();
    document.querySelectorAll("[data-key]").forEach(function (one) {
      var key = one.dataset.key;
      if (seen[key] || !shown(one)) { return; }
      seen[key] = true;
      var term = document.createElement("dt"), said = document.createElement("dd"), kbd = document.createElement("kbd");
      kbd.textContent = key;
      term.append(kbd);
      said.textContent = one.dataset.keyLabel || one.getAttribute("aria-label") || one.textContent.trim() || one.labels && one.labels[0] && one.labels[0].textContent || key;
      place.append(term, said);
    });
    dialog.showModal();
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) { return; }
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (event.key === "Escape") { document.querySelectorAll(".menu[open]").forEach(close); return; }
    if (typing(event.target) || document.querySelector("dialog[open]")) { return; }
    if (event.key === "?") { event.preventDefault(); list(); return; }
    var found = event.key.length === 1 || event.key === "Enter" ? holder(event.key) : null;
    if (!found || event.key === "Enter" && /^(A|BUTTON|SUMMARY)$/.test(event.target.tagName)) { return; }
    event.preventDefault();
    // A key that is held down walks on, and does nothing else twice.
    if (event.repeat && !found.dataset.move) { return; }
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(found.tagName) && !/^(checkbox|radio|submit)$/.test(found.type)) { found.focus(); } else { found.click(); }
  });

  function say(text, bad) {
    var notice = document.getElementById("notice");
    if (!notice) { return; }
    notice.classList.toggle("bad", bad);
    notice.textContent = text;
  }

  document.addEventListener("htmx:responseError", function (event) {
    var answer = event.detail.xhr, type = answer.getResponseHeader("Content-Type") || "";
    say(type.indexOf("text/plain") === 0 ? answer.responseText : answer.status + " " + answer.statusText, true);
  });
  document.addEventListener("htmx:sendError", function () { say(document.documentElement.dataset.offline || "…", true); });
  // A page may say something after a request of htmx: HX-Trigger: {"say": "…"}.
  document.addEventListener("say", function (event) { say(event.detail.value, false); });
}());
