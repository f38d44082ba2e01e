// One box that ticks all boxes of a name on the page, which does not show without this script; and a date or time
// that chooses what it belongs to, so that nothing starts at once for whoever wrote a date.
(function () {
  "use strict";

  function show() {
    document.querySelectorAll("input[data-all]").forEach(function (all) { all.hidden = false; });
  }

  document.addEventListener("change", function (event) {
    var name = event.target.dataset && event.target.dataset.all;
    if (!name) { return; }
    event.target.form.querySelectorAll('input[name="' + CSS.escape(name) + '"]').forEach(function (one) {
      one.checked = event.target.checked;
    });
  });
  document.addEventListener("input", function (event) {
    var picks = event.target.dataset && event.target.dataset.picks;
    if (picks && event.target.value) { document.getElementById(picks).checked = true; }
  });
  document.addEventListener("htmx:afterSwap", show);
  show();
}());
