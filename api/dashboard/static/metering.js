// What is pleasant with a script, and works without: filters that submit themselves, a menu that closes.
"use strict";

for (const field of document.querySelectorAll("[data-auto-submit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
// The button beside such a filter is for those who have no script.
for (const button of document.querySelectorAll("[data-no-script]")) button.hidden = true;

for (const menu of document.querySelectorAll("details[data-closes]")) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
}
