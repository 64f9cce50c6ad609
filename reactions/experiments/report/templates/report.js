"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // Colours that people with any colour vision tell apart, each with a sign of its own.
  const LIGHT = {
    ink: "#1b1f24", muted: "#57606a", line: "#d5dae0", page: "#ffffff",
    series: ["#0072b2", "#c44e00", "#00795a", "#a5427f", "#8a6a00", "#2b2f36", "#2a8fc7", "#6d3fa0"],
  };
  const DARK = {
    ink: "#e6e9ed", muted: "#a3abb5", line: "#363d46", page: "#14171b",
    series: ["#56b4e9", "#f08a4b", "#3cc9a3", "#e39cc6", "#e3c250", "#f2f2f2", "#9fd0ff", "#bea0ee"],
  };
  const SIGNS = ["circle", "square", "diamond", "cross", "triangle-up", "triangle-down", "x", "star"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px", "2px,2px"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const print = matchMedia("print");
  let printing = false;
  const theme = () => (dark.matches && !printing ? DARK : LIGHT);

  // plotly reads some HTML in texts: names are not markup.
  const plain = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const CONFIG = { displayModeBar: false, responsive: true, staticPlot: false, scrollZoom: false };

  function axis(colours, title, more) {
    return Object.assign({
      title: { text: title, font: { size: 12, color: colours.muted }, standoff: 8 },
      gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line,
      tickfont: { size: 11, color: colours.muted }, fixedrange: true, automargin: true,
    }, more);
  }

  function layout(place, colours, more) {
    // A window that is printed has no size of its own yet: what the page has on paper is told.
    const size = printing ? { autosize: false, width: place.clientWidth, height: place.clientHeight } : { autosize: true };
    return Object.assign(size, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", color: colours.ink, size: 12 },
      margin: { l: 44, r: 8, t: 8, b: 38 }, hoverlabel: { font: { size: 12 } }, dragmode: false,
    }, more);
  }

  // --- losses ----------------------------------------------------------------------

  const TICKS = [-3, -2, -1, 0, 1, 2, 3].flatMap((e) => [1, 2, 5].map((digit) => Number(`${digit}e${e}`)));

  function drawLosses() {
    const colours = theme();
    for (const place of document.querySelectorAll("[data-losses]")) {
      const group = data.losses[Number(place.dataset.losses)];
      const traces = group.curves.map((curve, i) => ({
        type: "scatter", mode: curve.losses.length > 40 ? "lines" : "lines+markers", name: plain(curve.name),
        x: curve.losses.map((_, epoch) => epoch + 1), y: curve.losses,
        line: { color: colours.series[i % 8], dash: DASHES[i % 8], width: 1.8 },
        marker: { symbol: SIGNS[i % 8], size: 6 },
        hovertemplate: "%{fullData.name}, epoch %{x}: %{y:.4f}<extra></extra>",
      }));
      const low = Math.min(...group.curves.flatMap((curve) => curve.losses));
      Plotly.react(place, traces, layout(place, colours, {
        showlegend: true, legend: { orientation: "h", y: -0.28, font: { size: 11 } }, margin: { l: 44, r: 8, t: 8, b: 60 },
        xaxis: axis(colours, "epoch", { dtick: group.curves.every((c) => c.losses.length < 13) ? 1 : undefined }),
        yaxis: axis(colours, "loss (nats)", low > 0 ? { type: "log", tickvals: TICKS } : {}),
      }), CONFIG);
    }
  }

  // --- map -------------------------------------------------------------------------

  const MODES = {
    class: (panel, i) => panel.class[i],
    modality: (panel, i) => panel.modality[i],
  };

  function drawMap() {
    if (!data.map) return;
    const colours = theme();
    const by = document.querySelector("input[name=colour]:checked").value;
    const key = MODES[by];
    const names = [...new Set(data.map.panels.flatMap((panel) => panel.x.map((_, i) => key(panel, i))))].sort();
    const modalities = [...new Set(data.map.panels.flatMap((panel) => panel.modality))].sort();
    // A sign for each modality: colour says class or modality.
    const sign = (modality) => SIGNS[modalities.indexOf(modality) % SIGNS.length];
    for (const place of document.querySelectorAll("[data-map]")) {
      const panel = data.map.panels[Number(place.dataset.map)];
      const all = [...panel.x.keys()];
      const groups = names.flatMap((name, n) => [0, 1].map((prompt) => ({
        n, name, prompt, rows: all.filter((i) => key(panel, i) === name && panel.prompt[i] === prompt),
      }))).filter((group) => group.rows.length);
      groups.sort((a, b) => a.prompt - b.prompt);
      const traces = groups.map(({ n, name, prompt, rows }) => ({
        type: "scatter", mode: "markers", name: plain(name),
        x: rows.map((i) => panel.x[i]), y: rows.map((i) => panel.y[i]),
        text: rows.map((i) => plain(`${panel.class[i]}, ${panel.modality[i]}${panel.prompt[i] ? " prompt" : ""} (${panel.set[i]})`)),
        hovertemplate: "%{text}<extra></extra>",
        marker: {
          color: colours.series[n % 8], symbol: rows.map((i) => sign(panel.modality[i])),
          size: prompt ? 14 : 6.5, opacity: prompt ? 1 : 0.72,
          line: { width: prompt ? 2 : 0, color: colours.ink },
        },
      }));
      const bare = { showticklabels: false, zeroline: false, showline: true, mirror: true, showgrid: false };
      Plotly.react(place, traces, layout(place, colours, {
        margin: { l: 24, r: 6, t: 6, b: 26 }, hovermode: "closest",
        xaxis: axis(colours, data.map.method === "pca" ? "first axis" : "", bare),
        yaxis: axis(colours, data.map.method === "pca" ? "second axis" : "", { ...bare, scaleanchor: "x" }),
      }), CONFIG);
    }
    drawLegend(by, names, modalities, colours);
  }

  const SHAPES = {
    circle: "M7 2a5 5 0 1 0 .01 0z", square: "M2.5 2.5h9v9h-9z", diamond: "M7 1l6 6-6 6-6-6z",
    cross: "M5 1h4v4h4v4h-4v4h-4v-4h-4v-4h4z", "triangle-up": "M7 2l6 10h-12z", "triangle-down": "M7 12l6-10h-12z",
    x: "M2 2l10 10M12 2l-10 10", star: "M7 1l2 4 4 .5-3 3 1 4.500-4-2-4 2 1-4.500-3-3 4-.5z",
  };

  function drawLegend(by, names, modalities, colours) {
    const legend = document.getElementById("map-legend");
    legend.replaceChildren();
    const entry = (text, shape, colour) => {
      const item = document.createElement("span");
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "0 0 14 14");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", SHAPES[shape]);
      path.setAttribute("fill", colour);
      svg.append(path);
      item.append(svg, text);
      legend.append(item);
    };
    if (by === "class") names.forEach((name, n) => entry(name, "square", colours.series[n % 8]));
    modalities.forEach((name, n) => entry(name, SIGNS[n % 8], by === "class" ? colours.muted : colours.series[names.indexOf(name) % 8]));
  }

  // --- factor surfaces -------------------------------------------------------------

  // Scores lie with the last axis fastest. Between measured points they are interpolated along
  // every axis; at a measured point the weights are 1 and 0, so that its score is exact.
  function scoreAt(axes, table, point) {
    let cells = [[0, 1]];
    axes.forEach((own, a) => {
      const values = own.values, last = values.length - 1;
      let upper = values.findIndex((value) => value >= point[a] - 1e-9);
      if (upper < 0) upper = last;
      const lower = Math.abs(values[upper] - point[a]) < 1e-9 ? upper : Math.max(upper - 1, 0);
      const share = upper === lower ? 0 : (point[a] - values[lower]) / (values[upper] - values[lower]);
      cells = cells.flatMap(([index, weight]) => {
        const base = index * values.length;
        return share ? [[base + lower, weight * (1 - share)], [base + upper, weight * share]] : [[base + lower, weight]];
      });
    });
    return cells.reduce((sum, [index, weight]) => sum + weight * table[index], 0);
  }

  const isMeasured = (axes, point) =>
    axes.every((own, a) => own.values.some((value) => Math.abs(value - point[a]) < 1e-9));

  const select = document.getElementById("metric");
  const metricOf = (tables, task) => {
    const chosen = select.value;
    return chosen in tables[task] ? chosen : data.main[task];
  };

  const surfaces = [...document.querySelectorAll("[data-surface]")].map((place) => {
    const surface = data.surfaces[Number(place.dataset.surface)];
    const sliders = [...place.querySelectorAll("input[type=range]")];
    const point = () => sliders.map((slider) => Number(slider.value));
    const home = sliders.map((slider) => Number(slider.defaultValue));
    const hasHome = surface.axes.every((own) => own.default !== null);
    const cards = [...place.querySelectorAll("[data-task]")];
    const state = place.querySelector(".controls .state");

    function drawCards() {
      const colours = theme(), [x, y] = surface.axes, at = point();
      for (const card of cards) {
        const table = surface.tables[card.dataset.task][metricOf(surface.tables, card.dataset.task)];
        const plot = card.querySelector(".plot");
        // Twice at one place: a dark sign with a light one on it is seen on any colour.
        const sign = (symbol, size, x, y) => ({
          type: "scatter", mode: "markers", hoverinfo: "skip", cliponaxis: false, x: [x, x], y: [y, y],
          marker: { symbol, size, color: ["#000000", "#ffffff"], line: { width: [4.6, 2], color: ["#000000", "#ffffff"] } },
        });
        const ring = (x, y) => sign("circle-open", 15, x, y);
        const cross = (x, y) => sign("x-thin", 9, x, y);
        if (!y) {
          const traces = [{ type: "scatter", mode: "lines+markers", x: x.values, y: table, line: { color: colours.series[0] }, hovertemplate: `${plain(x.label)} %{x}: %{y:.2f}<extra></extra>` }];
          traces.push(hasHome ? ring(home[0], scoreAt(surface.axes, table, home)) : ring(null, null));
          traces.push(cross(at[0], scoreAt(surface.axes, table, at)));
          Plotly.react(plot, traces, layout(plot, colours, { xaxis: axis(colours, plain(x.label), {}), yaxis: axis(colours, "%", {}) }), CONFIG);
          continue;
        }
        const z = y.values.map((v) => x.values.map((u) => scoreAt(surface.axes, table, [u, v, ...at.slice(2)])));
        const flat = z.flat();
        const heat = {
          type: "heatmap", x: x.values, y: y.values, z, colorscale: "Cividis", zmin: Math.min(...flat), zmax: Math.max(...flat) + 1e-6,
          hovertemplate: `${plain(x.label)} %{x}, ${plain(y.label)} %{y}: %{z:.2f}<extra></extra>`,
          colorbar: { thickness: 9, outlinewidth: 0, tickfont: { size: 10, color: colours.muted }, nticks: 5, x: 1.01 },
        };
        const tick = { tickvals: [0, 0.5, 1], zeroline: false, showgrid: false };
        Plotly.react(plot, [
          heat,
          hasHome ? ring(home[0], home[1]) : ring(null, null),
          cross(at[0], at[1]),
        ], layout(plot, colours, { margin: { l: 40, r: 4, t: 6, b: 34 }, xaxis: axis(colours, plain(x.label), tick), yaxis: axis(colours, plain(y.label), tick) }), CONFIG);
      }
    }

    function showNumbers() {
      const at = point();
      sliders.forEach((slider) => {
        slider.parentElement.querySelector("output").textContent = Number(slider.value).toFixed(2);
      });
      const measured = isMeasured(surface.axes, at);
      state.textContent = measured ? "measured" : "interpolated between measured points";
      state.classList.toggle("between", !measured);
      for (const card of cards) {
        const task = card.dataset.task, metric = metricOf(surface.tables, task);
        const table = surface.tables[task][metric];
        const now = scoreAt(surface.axes, table, at);
        card.querySelector(".now").textContent = (measured ? "" : "\u2248 ") + now.toFixed(2);
        card.querySelector(".metric").textContent = metric;
        const delta = card.querySelector(".delta");
        const change = hasHome ? now - scoreAt(surface.axes, table, home) : NaN;
        delta.textContent = Number.isNaN(change) ? "" : Math.abs(change) < 0.005 ? "\u00b10.00" : (change > 0 ? "\u25b2 +" : "\u25bc \u2212") + Math.abs(change).toFixed(2);
      }
    }

    let waiting = false;
    function move() {
      showNumbers();
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const at = point();
        if (surface.axes.length > 2) return drawCards();
        for (const card of cards) {
          const table = surface.tables[card.dataset.task][metricOf(surface.tables, card.dataset.task)];
          const y = surface.axes.length > 1 ? at[1] : scoreAt(surface.axes, table, at);
          Plotly.restyle(card.querySelector(".plot"), { x: [[at[0], at[0]]], y: [[y, y]] }, [2]);
        }
      });
    }

    const put = (values) => {
      sliders.forEach((slider, i) => { slider.value = values[i]; });
      move();
    };
    sliders.forEach((slider) => slider.addEventListener("input", move));
    place.querySelector("[data-reset]")?.addEventListener("click", () => put(home));
    place.querySelector("[data-snap]").addEventListener("click", () => put(point().map((value, i) =>
      surface.axes[i].values.reduce((best, own) => (Math.abs(own - value) < Math.abs(best - value) ? own : best)))));
    return { draw: () => { showNumbers(); drawCards(); } };
  });

  if (select) {
    const option = (value, text) => select.append(new Option(text, value));
    option("", "main score of each task");
    const known = new Set(data.surfaces.flatMap((own) => Object.values(own.tables).flatMap((table) => Object.keys(table))));
    for (const metric of known) if (metric.startsWith("mean ")) option(metric, `${metric} (others: main score)`);
    select.addEventListener("change", () => surfaces.forEach((own) => own.draw()));
  }

  // --- all -------------------------------------------------------------------------

  function draw() {
    drawLosses();
    drawMap();
    surfaces.forEach((own) => own.draw());
  }

  // Paper has another width than the window, and no dark.
  function forPaper(on) {
    printing = on;
    document.documentElement.classList.toggle("paper", on);
    draw();
  }
  dark.addEventListener("change", draw);
  print.addEventListener("change", (event) => forPaper(event.matches));
  addEventListener("beforeprint", () => forPaper(true));
  addEventListener("afterprint", () => forPaper(false));
  document.querySelectorAll("input[name=colour]").forEach((own) => own.addEventListener("change", drawMap));
  draw();
  document.documentElement.dataset.drawn = "yes";
})();
