// Tables: headings that sort, numbers by their size, and a filter above those with many rows.
(() => {
  "use strict";
  const MANY = 10, UNITS = { k: 1e3, M: 1e6 };
  // A number, or the lower of two; "< 0.001" is 0.001.
  const NUMBER = "[+\u2212-]?\\d[\\d,]*(?:\\.\\d+)?", P = `(?:< )?${NUMBER}`;
  const NUMBERS = new RegExp(`^(?:< )?(${NUMBER})([kM]?)(?:(?: to | and |, )${P}[kM]?)?(?: \\(.*\\))?$`);
  for (const table of document.querySelectorAll("table.sortable")) {
    // From the least to the greatest first; what is empty comes last.
    table.classList.add("asc", "n-last");
    [...table.tHead.rows[0].cells].forEach((_, column) => byValue([...table.tBodies[0].rows].map((row) => row.cells[column])));
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
    }
    if (table.tBodies[0].rows.length >= MANY) addFilter(table);
  }

  // Columns of numbers are sorted by these, not by their text; "not tested" comes last, as if empty.
  function byValue(cells) {
    const found = cells.map((cell) => [cell, cell.textContent.trim()]).filter(([cell, text]) => text && !("sort" in cell.dataset))
      .map(([cell, text]) => [cell, NUMBERS.exec(text)]);
    if (!found.some(([, numbers]) => numbers) || found.some(([cell, numbers]) => !numbers && /\d/.test(cell.textContent))) return;
    for (const [cell, numbers] of found) {
      const [, number, unit] = numbers || [];
      cell.dataset.sort = !numbers ? "" : Number(number.replaceAll(",", "").replace("\u2212", "-")) * (UNITS[unit] || 1);
    }
  }

  function addFilter(table) {
    const label = document.createElement("label"), input = document.createElement("input");
    const count = document.createElement("span");
    label.className = "filter";
    input.type = "search";
    input.ariaLabel = `Rows with these words: ${table.parentNode.ariaLabel}`;
    count.setAttribute("role", "status");
    label.append("Rows with ", input, " ", count);
    table.parentNode.before(label);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      // Sorting puts another body in the place of this one.
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const left = rows.filter((row) => !row.hidden).length;
      count.textContent = words.length ? `${left} of ${rows.length}` : "";
    });
  }

  // Browsers that print closed parts closed, unlike those that know ::details-content.
  let opened = [];
  addEventListener("beforeprint", () => {
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const part of opened) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of opened) part.open = false;
  });
})();
