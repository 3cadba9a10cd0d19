// Scaling plots that answer: values under the pointer, arms that come and go.
(() => {
  "use strict";
  const { sections } = JSON.parse(document.getElementById("data").textContent);
  const UNADAPTED = "none", HARMED = "worse than unadapted";
  // Around a marker's middle, as far as 1 from it.
  const POINTING = [[-1, -0.9], [1, -0.9], [0, 1]];
  const PLUS = [[-0.4, -1], [0.4, -1], [0.4, -0.4], [1, -0.4], [1, 0.4], [0.4, 0.4], [0.4, 1], [-0.4, 1], [-0.4, 0.4], [-1, 0.4], [-1, -0.4], [-0.4, -0.4]];
  // The markers of the figures that are drawn for papers: what stands in text for each, and its shape.
  const MARKERS = {
    s: ["■", "square"], "^": ["▲", "triangle"], o: ["●", "circle"], D: ["◆", "diamond"], "*": ["★", "star"],
    P: ["✚", polygon(PLUS)], X: ["✖", polygon(PLUS.map(([x, y]) => [0.75 * (x - y), 0.75 * (x + y)]))],
    v: ["▼", polygon(POINTING)], "<": ["◀", polygon(POINTING.map(([x, y]) => [-y, x]))],
    ">": ["▶", polygon(POINTING.map(([x, y]) => [y, x]))],
    p: ["⬟", polygon(regular(5))], h: ["⬢", polygon(regular(6))],
  };

  for (const figure of document.querySelectorAll("figure.chart")) {
    const found = sections[figure.dataset.section];
    if (found) replace(figure, pointsOf(found.curves, figure.dataset.evaluator), found);
  }

  function regular(corners) {
    return Array.from({ length: corners }, (_, place) => (2 * Math.PI * place) / corners).map((turn) => [Math.sin(turn), -Math.cos(turn)]);
  }

  function polygon(corners) {
    return { draw(context, size) {
      const radius = Math.sqrt(size / 2.6);
      corners.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](radius * x, radius * y));
      context.closePath();
    } };
  }

  // Rows of the means by one evaluator, the unadapted model's among them.
  function pointsOf({ published, ...curves }, evaluator) {
    const names = Object.keys(curves);
    return curves.n
      .map((_, place) => Object.fromEntries(names.map((name) => [name, curves[name][place]])))
      .filter((point) => point.evaluator === evaluator)
      .sort((a, b) => a.n - b.n);
  }

  function replace(figure, points, { curves: { published }, looks }) {
    const adapted = points.filter((point) => point.source !== UNADAPTED);
    if (!adapted.length) return;
    const arms = [...new Set(adapted.map((point) => point.label))].sort();
    const { evaluator } = figure.dataset, { metric } = points[0], marks = published.filter((value) => value.evaluator === evaluator);
    const hidden = new Set(), drawn = figure.querySelector(".drawn"), fallback = drawn.innerHTML;
    const title = document.createElement("p"), name = document.createElement("bdi");
    title.className = "title";
    name.textContent = evaluator;
    title.append(name);
    const choices = document.createElement("fieldset"), legend = document.createElement("legend");
    legend.textContent = "Arms";
    choices.append(legend, ...arms.map(choice));
    if (adapted.length < points.length) choices.append(...named(UNADAPTED, "unadapted"));
    drawn.before(choices);
    draw();
    addEventListener("resize", draw);
    // Paper has no pointer: the figure that was drawn for it says more.
    addEventListener("beforeprint", () => { drawn.innerHTML = fallback; });
    addEventListener("afterprint", draw);

    function choice(label) {
      const box = document.createElement("label"), input = document.createElement("input");
      input.type = "checkbox";
      input.checked = true;
      input.addEventListener("change", () => {
        hidden[input.checked ? "delete" : "add"](label);
        draw();
      });
      box.append(input, ...named(label, label));
      return box;
    }

    function named(label, text) {
      const sign = document.createElement("span"), name = document.createElement("bdi"), [colour, marker] = looks[label];
      sign.style.color = colour;
      sign.ariaHidden = "true";
      sign.textContent = MARKERS[marker][0];
      name.append(sign, ` ${text}`);
      return [" ", name];
    }

    function draw() {
      const width = Math.min(520, Math.max(260, figure.clientWidth));
      drawn.replaceChildren(title, plot({ points, marks, arms, hidden, looks, width, evaluator, metric }));
    }
  }

  // Scores and sizes of all arms, so that axes stay where they are when arms go.
  function axes(points, published, width, arms) {
    const adapted = [...points, ...published].filter((point) => point.source !== UNADAPTED);
    const sizes = [...new Set(adapted.map((point) => point.n))].sort((a, b) => a - b);
    const room = width - 60 - 46, [low, high] = [sizes[0], sizes.at(-1)].map(Math.log);
    const perPixel = high > low ? (high - low) / (room - 30) : 1 / room;
    const spare = high > low ? 15 : room / 2;
    const scores = [...points, ...published].flatMap(({ mean, low = mean, high = mean, least = mean, most = mean, trained = mean }) => [mean, low, high, least, most, trained]).filter((value) => value !== null);
    const least = Math.min(...scores), most = Math.max(...scores), pad = 0.05 * Math.max(2, most - least);
    const step = Math.min(7, sizes.length > 1 ? (0.5 * (room - 30)) / (sizes.length - 1) / arms.length : 7);
    const shift = new Map(arms.map((label, place) => [label, Math.exp((place - (arms.length - 1) / 2) * step * perPixel)]));
    return {
      x: [Math.exp(low - (46 + spare) * perPixel), Math.exp(high + spare * perPixel)],
      y: [least - 2 * pad, most + pad],
      zero: Math.exp(low - (34 + spare) * perPixel),
      ticks: spread(sizes, perPixel),
      // Markers at one n stand side by side, so that equal arms are both seen.
      at: (point) => point.source === UNADAPTED ? Math.exp(low - (34 + spare) * perPixel) : point.n * (shift.get(point.label) ?? 1),
    };
  }

  function plot({ points, marks: published, arms, hidden, looks, width, evaluator, metric }) {
    const unadapted = points.filter((point) => point.source === UNADAPTED);
    const adapted = points.filter((point) => point.source !== UNADAPTED);
    const shown = points.filter((point) => !hidden.has(point.label));
    const { x, y, zero, ticks, at } = axes(points, published, width, arms);
    const hue = (point) => looks[point.label][0];
    const marks = [
      ...grounds(unadapted, adapted, x, y),
      Plot.ruleY(unadapted, { y: "mean", stroke: hue, strokeDasharray: "5 3" }),
      Plot.ruleX(shown, { x: at, y1: "low", y2: "high", stroke: hue }),
    ];
    for (const label of new Set(shown.map((point) => point.label))) {
      const line = shown.filter((point) => point.label === label), [colour, marker] = looks[label];
      marks.push(
        Plot.areaY(line, { x: at, y1: "least", y2: "most", fill: colour, fillOpacity: 0.18 }),
        Plot.lineY(line, { x: at, y: "mean", stroke: colour }),
        Plot.dot(line, { x: at, y: "mean", fill: colour, stroke: "var(--ground)", strokeWidth: 0.5, symbol: MARKERS[marker][1], r: 4.5 }),
      );
      if (line.some((point) => point.trained !== point.mean)) {
        marks.push(Plot.lineY(line, { x: at, y: "trained", stroke: colour, strokeDasharray: "1.5 2.5" }));
      }
    }
    for (const value of published) {
      const [colour, marker] = value.look;
      marks.push(Plot.dot([value], { x: at, y: "mean", fill: "none", stroke: colour, strokeWidth: 1.4, symbol: MARKERS[marker][1], r: 6, className: "published" }));
    }
    // As a mark with its texts: a log scale's own axis leaves out the labels of 5 to 9.
    marks.push(Plot.axisX(unadapted.length || published.some(({ source }) => source === UNADAPTED) ? [zero, ...ticks] : ticks, { label: "images used (log scale)", text: (n) => n === zero ? "0" : size(n) }));
    marks.push(Plot.tip([...shown, ...published], Plot.pointer({ x: at, y: "mean", title: told, fill: "var(--ground)", stroke: "var(--muted)" })));
    const chart = Plot.plot({
      width, height: Math.round(width * 0.72), marginLeft: 44, marginBottom: 40, marginRight: 16,
      style: { background: "none", color: "var(--ink)", fontSize: "11px", overflow: "visible" },
      x: { type: "log", domain: x, axis: null },
      y: { label: `test ${metric}, %`, grid: true, domain: y },
      marks,
    });
    for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `Test ${metric} by ${evaluator} over the number of images used; the numbers are in the table of scores`);
    return chart;
  }

  // Where there are no more retrieved images, and where adapting did harm.
  function grounds(unadapted, adapted, [left, right], [low]) {
    const kept = Math.max(...adapted.filter((point) => point.source === "retrieved").map((point) => point.kept));
    const ended = kept > 0 && kept < Math.max(...adapted.map((point) => point.n)) ? [kept] : [];
    const harmed = unadapted.filter((point) => adapted.some(({ mean, trained }) => Math.min(mean, trained ?? mean) < point.mean));
    return [
      Plot.rect(ended, { x1: (end) => Math.max(left, end), x2: right, fill: "var(--ended)" }),
      Plot.text(ended, { frameAnchor: "top-right", dy: -12, text: (end) => `pool ends at ${size(end)}`, fill: "var(--muted)" }),
      Plot.rect(harmed, { x1: left, x2: right, y1: low, y2: "mean", fill: "var(--harm)" }),
      Plot.text(harmed, { frameAnchor: "bottom-left", dx: 4, dy: -4, text: () => HARMED, fill: "var(--muted)" }),
    ];
  }

  function told(point) {
    if (point.where) return `published, ${point.source === UNADAPTED ? "unadapted" : `${point.source}, n = ${size(point.n)}`}\n${point.mean} %\n${point.where}`;
    const name = point.source === UNADAPTED ? "unadapted" : `${point.label}, n = ${size(point.n)}`;
    const seeds = point.seeds > 1 ? `${point.seeds} seeds: ${point.least} to ${point.most}` : "1 seed";
    return `${name}\n${point.mean} % [${point.low}, ${point.high}]\n${seeds}`;
  }

  // Ticks whose labels do not touch: from the largest down, a label's width apart.
  function spread(sizes, perPixel) {
    const kept = [];
    for (const n of [...sizes].reverse()) {
      if (!kept.length || Math.log(kept.at(-1)) - Math.log(n) >= 44 * perPixel) kept.push(n);
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
