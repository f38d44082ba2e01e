// In the compose window: a link to something that is still to be written selects it in its field.
(function () {
  "use strict";

  document.addEventListener("click", function (event) {
    var link = event.target.closest("a[data-find]");
    var field = link && document.getElementById(link.hash.slice(1));
    if (!field) { return; }
    event.preventDefault();
    var at = field.value.indexOf(link.dataset.find);
    if (at >= 0) { field.setSelectionRange(at, at + link.dataset.find.length); }
    // A browser scrolls to what is selected when the field gets the focus, and not before.
    field.blur();
    field.focus();
  });
}());
