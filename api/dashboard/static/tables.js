// Tables that sort and search at once. Without a script the same links and forms ask the server.
"use strict";

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    const link = head.querySelector(".sort");
    link?.addEventListener("click", (event) => {
      event.preventDefault();
      const sorted = head.getAttribute("aria-sort");
      const descending = sorted === "none" ? link.dataset.first === "desc" : sorted === "ascending";
      for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      for (const body of table.tBodies) sortRows(body, column, descending);
      sortParts(table, ["cost", "count"].includes(head.dataset.key), descending);
      // The address says what is seen, so that it can be sent to somebody.
      const address = new URL(location.href);
      address.searchParams.set("sort", head.dataset.key);
      address.searchParams.set("order", descending ? "desc" : "asc");
      history.replaceState(null, "", address);
    });
  }
}

// A part's heading stays first; what is equal stands as the server has it.
function sortRows(body, column, descending) {
  const rows = [...body.rows].filter((row) => !row.classList.contains("part"));
  const valueOf = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const isNumber = rows.every((row) => "sort" in row.cells[column].dataset);
  const compare = (a, b) =>
    (isNumber ? Number(valueOf(a)) - Number(valueOf(b)) : valueOf(a).localeCompare(valueOf(b), "en")) ||
    b.dataset.index - a.dataset.index;
  rows.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  body.append(...rows);
}

// Parts stand as the server has them: by their cost, or by their names.
function sortParts(table, isByCost, descending) {
  const parts = [...table.tBodies].filter((body) => body.querySelector(".part"));
  const costOf = (body) => Number(body.querySelector(".part data.money")?.value || -1);
  const nameOf = (body) => body.querySelector(".part th").textContent.trim();
  const compare = (a, b) => (isByCost ? costOf(a) - costOf(b) : nameOf(a).localeCompare(nameOf(b), "en"));
  parts.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  table.tHead.after(...parts);
}

for (const field of document.querySelectorAll("[data-find]")) {
  const table = document.getElementById(field.dataset.find);
  const none = document.querySelector(`[data-found="${field.dataset.find}"]`);
  // What the server has searched for already, it has left out: other words are for it as well.
  if (field.value) continue;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let seen = 0;
    for (const body of table.tBodies) {
      let here = 0;
      for (const row of body.rows) {
        if (!("words" in row.dataset)) continue;
        row.hidden = !row.dataset.words.includes(wanted);
        here += row.hidden ? 0 : 1;
      }
      body.hidden = wanted !== "" && here === 0;
      seen += here;
    }
    // A total, or a part's, of what is not all seen would mislead.
    for (const cell of table.querySelectorAll(".part td")) cell.style.visibility = wanted === "" ? "" : "hidden";
    if (table.tFoot) table.tFoot.hidden = wanted !== "";
    none.hidden = seen > 0 || wanted === "";
  });
}
