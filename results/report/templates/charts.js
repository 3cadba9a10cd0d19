// Scaling plots that answer: values under the pointer, arms that come and go.
(() => {
  "use strict";
  const { sections } = JSON.parse(document.getElementById("data").textContent);
  const HUES = {
    none: "var(--none, #B8860B)", synthetic: "var(--synthetic, #C8102E)",
    retrieved: "var(--retrieved, #0072B2)", real: "var(--real, #6B6B6B)",
    mixed: "var(--mixed, #8A4FA3)", folder: "var(--folder, #009E73)",
  };
  const SIGNS = { none: "square", synthetic: "triangle", retrieved: "circle", real: "cross", mixed: "diamond", folder: "star" };
  const SPARE = ["var(--spare-1, #E69F00)", "var(--spare-2, #56B4E9)", "var(--spare-3, #CC79A7)", "var(--spare-4, #117733)"];

  for (const figure of document.querySelectorAll("figure.chart")) {
    const found = sections[figure.dataset.section];
    if (found) replace(figure, pointsOf(found.curves, figure.dataset.evaluator));
  }

  function pointsOf(curves, evaluator) {
    return curves.n.map((n, place) => ({
      n, label: curves.label[place], source: curves.source[place], seeds: curves.seeds[place],
      evaluator: curves.evaluator[place], mean: curves.mean[place], low: curves.test_low[place],
      high: curves.test_high[place], least: curves.seed_min[place], most: curves.seed_max[place],
    })).filter((point) => point.evaluator === evaluator);
  }

  function replace(figure, points) {
    const adapted = points.filter((point) => point.source !== "none");
    if (!adapted.length) return;
    const looks = looksOf(adapted), hidden = new Set(), drawn = figure.querySelector(".drawn");
    const fallback = drawn.innerHTML;
    const choices = document.createElement("fieldset"), legend = document.createElement("legend");
    legend.textContent = "Arms";
    choices.append(legend);
    for (const [label, look] of looks) choices.append(choice(label, look));
    drawn.before(choices);
    draw();
    addEventListener("resize", draw);
    // Paper has no pointer: the figure that was drawn for it says more.
    addEventListener("beforeprint", () => { drawn.innerHTML = fallback; });
    addEventListener("afterprint", draw);

    function choice(label, look) {
      const box = document.createElement("label"), input = document.createElement("input");
      const name = document.createElement("span");
      input.type = "checkbox";
      input.checked = true;
      input.addEventListener("change", () => {
        hidden[input.checked ? "delete" : "add"](label);
        draw();
      });
      name.textContent = `${look.glyph} ${label}`;
      box.append(input, " ", name);
      return box;
    }

    function draw() {
      const shown = adapted.filter((point) => !hidden.has(point.label));
      const width = Math.min(520, Math.max(260, figure.clientWidth));
      drawn.replaceChildren(plot(shown, points, looks, width));
    }
  }

  function looksOf(adapted) {
    const looks = new Map(), taken = new Set();
    const glyphs = { circle: "●", triangle: "▲", cross: "✚", diamond: "◆", star: "★", square: "■" };
    let spare = 0;
    for (const { label, source } of [...adapted].sort((a, b) => a.label < b.label ? -1 : 1)) {
      if (looks.has(label)) continue;
      const own = source in HUES && !taken.has(source);
      taken.add(source);
      const symbol = own ? SIGNS[source] : ["wye", "diamond", "star", "cross"][spare % 4];
      looks.set(label, {
        hue: own ? HUES[source] : SPARE[spare++ % SPARE.length], symbol, glyph: glyphs[symbol] || "✦",
      });
    }
    return looks;
  }

  function plot(shown, points, looks, width) {
    const unadapted = points.filter((point) => point.source === "none");
    const hue = (point) => looks.get(point.label).hue;
    const sizes = [...new Set(points.filter((point) => point.n > 0).map((point) => point.n))].sort((a, b) => a - b);
    const marks = [
      Plot.ruleY(unadapted, { y: "mean", stroke: HUES.none, strokeDasharray: "5 3" }),
      Plot.text(unadapted.slice(0, 1), { y: "mean", frameAnchor: "right", dy: -7, text: () => "unadapted", textAnchor: "end" }),
      Plot.ruleX(shown, { x: "n", y1: "low", y2: "high", stroke: hue, strokeWidth: 1 }),
    ];
    for (const [label, look] of looks) {
      const line = shown.filter((point) => point.label === label).sort((a, b) => a.n - b.n);
      marks.push(
        Plot.areaY(line, { x: "n", y1: "least", y2: "most", fill: look.hue, fillOpacity: 0.18 }),
        Plot.lineY(line, { x: "n", y: "mean", stroke: look.hue }),
        Plot.dot(line, { x: "n", y: "mean", fill: look.hue, symbol: look.symbol, r: 4 }),
      );
    }
    marks.push(Plot.tip(shown, Plot.pointer({ x: "n", y: "mean", title: told, fill: "var(--ground)", stroke: "var(--muted)" })));
    const chart = Plot.plot({
      width, height: Math.round(width * 0.72), marginLeft: 44, marginBottom: 40, marginRight: 16,
      style: { background: "none", color: "var(--ink)", fontSize: "11px", overflow: "visible" },
      x: { type: "log", label: "images used", domain: domain(sizes), ticks: spread(sizes, width), tickFormat: size, grid: false },
      y: { label: "test score, %", grid: true, nice: true },
      marks,
    });
    for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", "Scores over the number of images used; the numbers are in the table of scores");
    return chart;
  }

  function told(point) {
    const seeds = point.seeds > 1 ? `\n${point.seeds} seeds: ${point.least} to ${point.most}` : "\n1 seed";
    return `${point.label}, n = ${size(point.n)}\n${point.mean} % [${point.low}, ${point.high}]${seeds}`;
  }

  function domain(sizes) {
    return sizes.length > 1 ? [sizes[0] / 1.15, sizes.at(-1) * 1.15] : [sizes[0] / 2, sizes[0] * 2];
  }

  // Ticks whose labels do not touch: from the largest down, a label's width apart.
  function spread(sizes, width) {
    const [low, high] = domain(sizes).map(Math.log), room = (46 * (high - low)) / (width - 60);
    const kept = [];
    for (const n of [...sizes].reverse()) {
      if (!kept.length || Math.log(kept.at(-1)) - Math.log(n) >= room) kept.push(n);
    }
    return kept;
  }

  function size(n) {
    for (const [unit, letter] of [[1e6, "M"], [1e3, "k"]]) {
      if (n >= unit) return `${+(n / unit).toPrecision(4)}${letter}`;
    }
    return `${n}`;
  }
})();
