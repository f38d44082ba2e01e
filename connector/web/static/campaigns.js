// One box that ticks all boxes of a name on the page; without this script it does not show.
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
  document.addEventListener("htmx:afterSwap", show);
  show();
}());
