// What is pleasant with a script, and works without: charts' tooltips, filters that submit themselves, a menu that closes.
"use strict";

// The tooltip script of pygal looks here for each chart's size and the names of its series.
window.pygal = { config: {} };

for (const holder of document.querySelectorAll("[data-chart]")) {
  const svg = holder.querySelector("svg");
  if (svg) window.pygal.config[svg.id.replace("chart-", "")] = JSON.parse(holder.dataset.chart);
}

for (const field of document.querySelectorAll("[data-auto-submit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
// The button beside such a filter is for those who have no script.
for (const button of document.querySelectorAll("[data-no-script]")) button.hidden = true;

for (const menu of document.querySelectorAll("details.menu")) {
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
