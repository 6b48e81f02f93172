// What a chart has with a script: a day's figures where one points or goes by keys, and a legend that shows one series alone.
// All that it tells stands in the chart's own table.
"use strict";

for (const figure of document.querySelectorAll("[data-chart]")) {
  const frame = figure.querySelector(".chart__frame");
  const heads = [...figure.querySelectorAll("thead th")];
  const rows = [...figure.querySelectorAll("tbody tr")];
  if (rows.length) {
    addDays(figure, frame, heads, rows);
    addIsolation(figure);
  }
}

// A slider over the plot: its value is the day that is told of.
function addDays(figure, frame, heads, rows) {
  const noun = figure.dataset.noun;
  // A month that is not over has more slots than days so far.
  const plot = figure.querySelector(".chart__plot svg");
  const slots = plot.viewBox.baseVal.width / 10;
  const days = made("div", "chart__days");
  days.tabIndex = 0;
  days.setAttribute("role", "slider");
  days.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}: one ${noun}, by the arrow keys`);
  days.setAttribute("aria-valuemin", "1");
  days.setAttribute("aria-valuemax", String(rows.length));
  const mark = made("div", "chart__day");
  const tip = made("div", "tip");
  mark.hidden = tip.hidden = true;
  days.append(mark);
  frame.append(days, tip);

  let shown = rows.length - 1;
  const show = (index) => {
    shown = Math.max(0, Math.min(rows.length - 1, index));
    const said = fill(tip, figure, heads, rows[shown]);
    days.setAttribute("aria-valuenow", String(shown + 1));
    days.setAttribute("aria-valuetext", said);
    mark.hidden = tip.hidden = false;
    const slot = days.clientWidth / slots;
    mark.style.left = `${shown * slot}px`;
    mark.style.width = `${slot}px`;
    // Beside the day, on the side where there is room.
    const left = days.offsetLeft + (shown + 1) * slot + 8;
    const fits = left + tip.offsetWidth <= frame.clientWidth;
    tip.style.left = `${fits ? left : Math.max(0, days.offsetLeft + shown * slot - tip.offsetWidth - 8)}px`;
  };
  const hide = () => {
    mark.hidden = tip.hidden = true;
  };
  days.setAttribute("aria-valuenow", String(rows.length));
  days.setAttribute("aria-valuetext", rows[shown].dataset.name);

  const point = (event) => {
    const box = days.getBoundingClientRect();
    show(Math.floor(((event.clientX - box.left) / box.width) * slots));
  };
  days.addEventListener("pointermove", point);
  days.addEventListener("pointerdown", point);
  days.addEventListener("pointerleave", (event) => {
    // A finger that is lifted leaves what it pointed at.
    if (event.pointerType === "mouse" && document.activeElement !== days) hide();
  });
  days.addEventListener("focus", () => show(shown));
  days.addEventListener("blur", hide);
  days.addEventListener("keydown", (event) => {
    const last = rows.length - 1;
    const to = {
      ArrowLeft: shown - 1,
      ArrowDown: shown - 1,
      ArrowRight: shown + 1,
      ArrowUp: shown + 1,
      PageDown: shown - 7,
      PageUp: shown + 7,
      Home: 0,
      End: last,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      show(to);
    } else if (event.key === "Escape") {
      hide();
    }
  });
}

// Write a row's figures into the tooltip; return them as a sentence.
function fill(tip, figure, heads, row) {
  const only = figure.dataset.only;
  const said = [row.dataset.name];
  tip.replaceChildren(made("p", "tip__name", row.dataset.name));
  for (const [index, head] of heads.entries()) {
    if (index === 0) continue;
    const cell = row.cells[index];
    const text = (cell.firstElementChild ?? cell).textContent.trim();
    if ("state" in head.dataset) {
      if (text) tip.append(made("p", "tip__state", text));
      if (text) said.push(text);
      continue;
    }
    const label = head.firstElementChild.textContent;
    const isTotal = "total" in head.dataset;
    const line = made("p", `tip__row${isTotal ? " tip__row--total" : ""}`);
    if (only && !isTotal && head.dataset.tone !== only) line.classList.add("tip__row--off");
    line.append(
      made("span", isTotal ? "" : `legend__mark tone--${head.dataset.tone}`),
      made("span", "", label),
      made("span", "", text),
    );
    tip.append(line);
    said.push(`${label} ${text}`);
  }
  return said.join(". ");
}

// Each entry of the legend becomes a button: pressed, its series is seen alone, at a scale of its own.
function addIsolation(figure) {
  const views = figure.querySelectorAll("[data-view]");
  const keys = new Set([...views].map((view) => view.dataset.view));
  const buttons = [];
  for (const entry of figure.querySelectorAll(".legend li")) {
    const key = entry.dataset.key;
    if (!key || !keys.has(key)) continue;
    const button = made("button", "legend__button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(...entry.childNodes);
    button.addEventListener("click", () => {
      const alone = button.getAttribute("aria-pressed") === "true" ? "" : key;
      for (const view of views) view.toggleAttribute("hidden", view.dataset.view !== alone);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button && alone !== ""));
      const tone = button.querySelector(".legend__mark").className.match(/tone--(\w+)/)[1];
      figure.dataset.only = alone ? tone : "";
    });
    buttons.push(button);
    entry.append(button);
  }
}

function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
