// A number opens the runs behind it.
(() => {
  "use strict";
  const { sections, file } = JSON.parse(document.getElementById("data").textContent);
  const dialog = document.createElement("dialog");
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  for (const table of document.querySelectorAll("table:has(td[data-runs])")) {
    const note = element("p", "Press a number to see the runs behind it.");
    note.className = "note press";
    const box = table.parentNode, above = box.previousElementSibling;
    (above.classList.contains("filter") ? above : box).before(note);
  }
  for (const cell of document.querySelectorAll("td[data-runs]")) {
    const [section, point] = cell.dataset.runs.split(" ");
    if (!(section in sections)) continue;
    const button = element("button", cell.textContent);
    button.type = "button";
    const size = cell.parentNode.cells[1].textContent;
    button.addEventListener("click", () => open(sections[section], +point, size, section));
    cell.replaceChildren(button);
  }

  function open(section, point, size, name) {
    const { curves } = section;
    const label = curves.label[point], n = curves.n[point], evaluator = curves.evaluator[point];
    const close = element("button", "Close"), head = element("header");
    const title = element("h2");
    title.append(element("bdi", label === "none" ? "unadapted" : label), `, n = ${size}, `, element("bdi", evaluator));
    close.type = "button";
    close.addEventListener("click", () => dialog.close());
    title.id = "runs-title";
    dialog.setAttribute("aria-labelledby", "runs-title");
    head.append(title, close);
    const runs = section.runs.filter((run) => run.label === label && run.n === n && evaluator in run.scores);
    const ids = section.ids[`${label}\n${n}`] || [];
    const body = file ? [elsewhere(ids)] : runs.map((run) => described(run, evaluator, name));
    const note = element("p");
    note.append(element("bdi", section.title), `: ${curves.seeds[point] === 1 ? "one run" : `mean of ${curves.seeds[point]} runs`}, ${curves.mean[point]} % at the chosen epoch.`);
    dialog.replaceChildren(head, note, ...body);
    dialog.showModal();
  }

  function elsewhere(ids) {
    const part = element("article");
    part.append(element("p", `Runs ${ids.join(", ")}: their scores, settings, epochs, times and commands are in ${file}; bench show RUN prints all of one.`));
    return part;
  }

  function described(run, evaluator, section) {
    const part = element("article"), facts = element("dl");
    const [validation, test, trained, last] = run.scores[evaluator].map((score) => score === null ? "" : `${score} %`);
    const known = [
      ["test", test], ["best trained", trained], ["last", last], ["validation", validation],
      ["images used", String(run.used)], ["seed", String(run.seed)], ["setting", run.setting],
      ["epoch", epoch(run)], ["took", took(run.seconds)], ["on", run.device], ["image set", run.images],
    ];
    for (const [name, value] of known) if (value) facts.append(element("dt", name), element("dd", value));
    part.append(element("h3", `Run ${run.id}`), facts);
    const shown = document.getElementById(`${section}-${run.images}`);
    if (shown) part.append(link("Samples of its images, and what was left out", shown));
    if (run.curve.length > 1) part.append(curve(run));
    if (run.apart.length) part.append(apart(run.apart));
    part.append(element("p", run.command ? "The command that repeats it:" : "No command can be given here: its preset, task or plug-in is not to be found, or is another than it was."));
    if (run.command) part.append(element("pre", run.command));
    return part;
  }

  function epoch(run) {
    if (run.epoch === null || run.label === "none") return "";
    const of = run.curve.length > 1 ? ` of ${run.curve.length - 1}` : "";
    return `${run.epoch}${of}, chosen by ${run.by}${run.epoch ? "" : ": the unadapted model was kept"}`;
  }

  // Training and validating are parts of adapting.
  function took({ train, validate, ...steps }) {
    const inner = Object.entries({ train, validate }).filter(([, value]) => value !== undefined).map(timed);
    const outer = Object.entries(steps).map(([step, value]) => step === "adapt" && inner.length ? `${timed([step, value])} (with ${inner.join(" and ")})` : timed([step, value]));
    return ("adapt" in steps ? outer : [...outer, ...inner]).join(", ");
  }

  function timed([step, value]) {
    return `${step} ${time(value)}`;
  }

  function apart(settings) {
    const part = element("details"), list = element("p");
    settings.forEach((setting, place) => list.append(place ? " · " : "", element("code", setting)));
    part.append(element("summary", `${settings.length} settings that another arm at this n has not`), list);
    return part;
  }

  function link(text, part) {
    const made = element("a", text);
    made.href = `#${encodeURIComponent(part.id)}`;
    made.addEventListener("click", () => {
      dialog.close();
      part.open = true;
    });
    return made;
  }

  function curve(run) {
    const points = run.curve.map((score, epoch) => ({ epoch, score })).filter(({ score }) => score !== null);
    const chart = Plot.plot({
      width: Math.min(460, innerWidth - 60), height: 150, marginLeft: 44,
      style: { background: "none", color: "var(--ink)", fontSize: "11px", overflow: "visible" },
      x: { label: "epoch", ticks: Math.min(innerWidth < 640 ? 5 : 10, points.length), tickFormat: "d" },
      y: { label: `${run.by} on validation data, %`, grid: true, nice: true },
      marks: [
        Plot.lineY(points, { x: "epoch", y: "score", stroke: "var(--retrieved, #0072B2)" }),
        Plot.dot(points, { x: "epoch", y: "score", r: 2.5, fill: "var(--retrieved, #0072B2)" }),
        Plot.dot(points.filter(({ epoch }) => epoch === run.epoch), { x: "epoch", y: "score", r: 6, stroke: "var(--ink)" }),
      ],
    });
    for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `Validation scores of run ${run.id} by epoch; the chosen epoch is ringed`);
    return chart;
  }

  function time(seconds) {
    if (seconds >= 3600) return `${(seconds / 3600).toFixed(1)} h`;
    return seconds >= 100 ? `${Math.round(seconds / 60)} min` : `${seconds} s`;
  }

  function element(name, text = "") {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }
})();
