// How does the run look on one time axis? Strips and lines share the axis, the cursor and the zoom.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  // Asking for a style, and making a pattern, takes longer than drawing with it: what was found is kept until the theme changes.
  const kept = new Map();
  const once = (name, make) => { if (!kept.has(name)) kept.set(name, make()); return kept.get(name); };
  const color = (name) => once(name, () => getComputedStyle(root).getPropertyValue(`--${name}`).trim());
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  const charts = [];
  const now = document.getElementById("now");
  const hint = now.textContent;
  let view = [data.from, data.to];

  const FILL = {
    ok: { color: "ok" }, failing: { color: "failing" }, unknown: { color: "no-answer", hatch: "no-answer-ink" },
    "not sent": { color: null, hatch: "not-sent" }, primary: { color: "primary" }, replica: { color: "replica" },
    "role-unknown": { color: null, hatch: "not-sent" }, writes: { color: "writes" }, "two primary": { color: "two" },
    phase: { color: "grid" }, slots: { color: "grid" }, fault: { color: "failing" }, change: { color: "dim" },
  };
  const SAID = { unknown: "no answer in time", "role-unknown": "unknown" };

  // Left of every chart, so that their time axes stand below each other: wide enough for the longest name.
  const GUTTER = (() => {
    const context = document.createElement("canvas").getContext("2d");
    context.font = FONT;
    const names = [...data.lanes, ...data.roles].map((strip) => context.measureText(strip.label).width);
    return Math.ceil(Math.min(Math.max(74, ...names.map((wide) => wide + 14)), 180));
  })();

  const seconds = (value) => `${value.toFixed(2)} s`;
  const amount = (value) => (value == null ? "–" : value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString());

  // A fill with stripes, so that states differ without colour too.
  const hatched = (context, fill) => once(`${fill.color} ${fill.hatch} ${devicePixelRatio}`, () => {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8 * devicePixelRatio;
    const ink = tile.getContext("2d");
    if (fill.color) { ink.fillStyle = color(fill.color); ink.fillRect(0, 0, tile.width, tile.height); }
    ink.strokeStyle = color(fill.hatch);
    ink.lineWidth = 1.6 * devicePixelRatio;
    for (const shift of [-tile.width, 0, tile.width]) {
      ink.beginPath(); ink.moveTo(shift, tile.height); ink.lineTo(shift + tile.width, 0); ink.stroke();
    }
    return context.createPattern(tile, "repeat");
  });

  // Where [from, to] lies within the plot, in canvas pixels; null when it is out of view.
  function across(u, from, to) {
    const left = Math.max(u.valToPos(from, "x", true), u.bbox.left);
    const right = Math.min(u.valToPos(to, "x", true), u.bbox.left + u.bbox.width);
    return right < u.bbox.left || left > u.bbox.left + u.bbox.width ? null : [left, Math.max(right - left, devicePixelRatio)];
  }

  function shade(u) {
    const { ctx, bbox } = u;
    ctx.save();
    for (const fault of data.faults) {
      const place = across(u, fault.from, fault.to);
      if (!place) continue;
      ctx.fillStyle = color("shade");
      ctx.fillRect(place[0], bbox.top, place[1], bbox.height);
      ctx.fillStyle = color("shade-edge");
      for (const edge of [fault.from, fault.to]) {
        if (edge >= view[0] && edge <= view[1]) ctx.fillRect(u.valToPos(edge, "x", true), bbox.top, devicePixelRatio, bbox.height);
      }
    }
    ctx.restore();
  }

  function inside(ctx, text, left, top, width, height, ink) {
    ctx.fillStyle = ink;
    ctx.textAlign = "left";
    const room = width - 8 * devicePixelRatio;
    const fits = [text, text.split(" →")[0]].find((shorter) => ctx.measureText(shorter).width <= room);
    if (fits) ctx.fillText(fits, left + 5 * devicePixelRatio, top + height / 2);
  }

  // Rows of spans: [{label, height, gap, text, name, spans: [[state, from, to, caption]]}].
  function drawRows(u, rows) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.textBaseline = "middle";
    let top = bbox.top;
    for (const row of rows) {
      const height = row.height * devicePixelRatio;
      ctx.font = `${row.heading ? "600 " : ""}${12 * devicePixelRatio}px system-ui, sans-serif`;
      if (row.label) {
        ctx.fillStyle = color(row.heading ? "ink" : "dim");
        ctx.textAlign = row.heading ? "left" : "right";
        ctx.fillText(row.label, row.heading ? 0 : bbox.left - 8 * devicePixelRatio, top + height / 2 + (row.shift || 0) * devicePixelRatio);
      }
      for (const [state, from, to, caption] of row.spans) {
        const place = across(u, from, to);
        if (!place) continue;
        const fill = FILL[state] || FILL["role-unknown"];
        ctx.fillStyle = fill.hatch ? hatched(ctx, fill) : color(fill.color);
        ctx.fillRect(place[0], top, place[1], height);
        if (caption) inside(ctx, caption, place[0], top, place[1], height, color(["phase", "replica", "slots"].includes(state) ? "ink" : "page"));
      }
      top += (row.height + row.gap) * devicePixelRatio;
    }
    ctx.restore();
  }

  function rowAt(rows, y) {
    let top = 0;
    for (const row of rows) {
      if (y >= top - 2 && y < top + row.height + row.gap) return row;
      top += row.height + row.gap;
    }
    return null;
  }

  function lanes() {
    const rows = [{ label: "phase", height: 16, gap: 4, name: "phase", spans: data.phases.map(([name, from, to]) => ["phase", from, to, name]) }];
    for (const fault of data.faults) {
      const word = fault.change ? "change" : "fault";
      rows.push({ label: word, height: 16, gap: 4, name: word, spans: [[word, fault.from, fault.to, fault.label]] });
    }
    for (const group of new Set(data.lanes.map((strip) => strip.group))) {
      const strips = data.lanes.filter((strip) => strip.group === group);
      if (strips.length) rows.push({ label: group, heading: true, height: 14, gap: 5, spans: [] });
      for (const strip of strips) {
        const fresh = strip.lane === "fresh";
        rows.push({
          label: fresh ? "" : strip.label, shift: 4, height: fresh ? 6 : 14, gap: fresh ? 8 : 2,
          name: `${strip.label}, ${group}, ${strip.lane} connections`, spans: strip.spans,
        });
      }
    }
    return rows;
  }

  function roles() {
    const said = (state) => (state === "unknown" ? "role-unknown" : state);
    const rows = [];
    if (data.two_primaries.length) {
      rows.push({ label: "two", height: 8, gap: 4, name: "two primaries at once", spans: data.two_primaries });
    }
    for (const node of data.roles) {
      rows.push({ label: node.label, shift: 3, height: 16, gap: 2, name: node.label, spans: node.spans.map(([s, a, b]) => [said(s), a, b, s === "unknown" ? "" : s]) });
      if (node.slots.length) {
        rows.push({ label: "", height: 14, gap: 2, name: `${node.label}, slots that it owns`, spans: node.slots.map(([s, a, b]) => ["slots", a, b, s]) });
      }
      rows.push({ label: "", height: 4, gap: 9, name: `${node.label}, writes acknowledged by itself`, spans: node.writes.map(([, a, b]) => ["writes", a, b]) });
    }
    return rows;
  }

  function say(u, rows) {
    if (u.cursor.left == null || u.cursor.left < 0) { now.textContent = hint; return; }
    const at = u.posToVal(u.cursor.left, "x");
    const words = [seconds(at)];
    const fault = data.faults.filter((f) => f.from <= at).pop();
    if (fault) words.push(`${seconds(at - fault.from)} after ${fault.label}`);
    const row = rows && rowAt(rows, u.cursor.top);
    const span = row && row.spans.find(([, from, to]) => at >= from && at < to);
    if (span) words.push(`${row.name}: ${span[3] || SAID[span[0]] || span[0]}, ${seconds(span[1])} to ${seconds(span[2])}`);
    now.textContent = words.join(" · ");
  }

  function show(from, to) {
    view = [Math.max(from, data.from), Math.min(to, data.to)];
    if (view[1] - view[0] < data.window) view = [data.from, data.to];
    for (const u of charts) u.setScale("x", { min: view[0], max: view[1] });
  }

  function selected(u) {
    if (u.select.width < 4) return;
    const from = u.posToVal(u.select.left, "x");
    const to = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    show(from, to);
  }

  const xAxis = (last) => ({
    stroke: () => color("dim"), font: FONT, size: last ? 42 : 26, gap: 4, label: last ? "seconds on the run's clock" : undefined, labelSize: 16, labelFont: FONT, labelGap: 0,
    grid: { stroke: () => color("grid"), width: 1 }, ticks: { show: false }, values: (u, splits) => splits.map((v) => `${Number(v.toFixed(3))} s`),
  });

  function options(element, height, more) {
    return {
      width: Math.max(element.clientWidth, 200), height, padding: [8, 8, 0, 0],
      cursor: {
        y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, focus: { prox: -1 },
        sync: { key: "run", setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
        // A value holds for its whole window: what is read is the window that the cursor is in, not the nearer begin.
        dataIdx: (u, series, nearest, at) => Math.max(nearest - (at < u.data[0][nearest] ? 1 : 0), 0),
        bind: { dblclick: () => () => { show(data.from, data.to); return null; } },
      },
      ...more,
      scales: { x: { time: false, auto: false, min: data.from, max: data.to }, ...more.scales },
    };
  }

  function add(id, height, more, values, rows) {
    const element = document.getElementById(id);
    let pointed = false;
    element.addEventListener("pointerenter", () => { pointed = true; });
    element.addEventListener("pointerleave", () => { pointed = false; now.textContent = hint; });
    const hooks = { drawClear: [shade], setSelect: [selected], setCursor: [(u) => { if (pointed) say(u, rows); }] };
    if (rows) hooks.draw = [(u) => drawRows(u, rows)];
    const u = new uPlot({ ...options(element, height, more), hooks }, values, element);
    charts.push(u);
  }

  function strips(id, rows, last) {
    const height = rows.reduce((sum, row) => sum + row.height + row.gap, 0) + 8 + (last ? 42 : 26);
    const series = [{}, { show: true, stroke: "transparent", points: { show: false } }];
    const axes = [xAxis(last), { size: GUTTER, splits: () => [], grid: { show: false }, ticks: { show: false } }];
    add(id, height, { legend: { show: false }, series, axes, scales: { y: { range: [0, 1] } } }, [[data.from, data.to], [null, null]], rows);
  }

  function lines(id, height, rows, y, unit) {
    const series = [{ label: "t", value: (u, v) => (v == null ? "–" : seconds(v)) }].concat(rows.map((row) => ({
      label: row.label, stroke: () => color(row.color), width: row.width || 1.5, dash: row.dash, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
      fill: row.fill ? () => `${color(row.color)}22` : undefined, value: (u, v) => (v == null ? "–" : `${amount(v)}${unit}`), spanGaps: false,
    })));
    const axes = [xAxis(false), {
      size: GUTTER, stroke: () => color("dim"), font: FONT, grid: { stroke: () => color("grid"), width: 1 }, ticks: { show: false },
      values: (u, splits) => splits.map((v) => (v == null ? "" : `${v >= 1 ? v.toLocaleString("en") : Number(v.toPrecision(2))}${unit}`)),
    }];
    const legend = { markers: { width: 2, dash: (u, i) => (rows[i - 1]?.dash ? "dashed" : "solid") } };
    add(id, height, { series, axes, legend, scales: { y } }, [[...data.at, data.at.at(-1) + data.rate_window], ...rows.map((row) => [...row.values, row.values.at(-1)])]);
  }

  const fromZero = { range: (u, low, high) => [0, Math.max(high || 0, 1) * 1.08] };
  const someLatency = Object.values(data.latency).some((row) => row.some((value) => value > 0));
  const logarithmic = someLatency ? { distr: 3, log: 10 } : { range: [0, 1] };

  document.getElementById("charts").hidden = false;
  root.classList.add("drawn");
  strips("lanes", lanes(), false);
  lines("throughput", 190, [
    { label: "reads", color: "reads", values: data.throughput.reads, fill: true }, { label: "writes", color: "writes", values: data.throughput.writes, fill: true },
    { label: "failed", color: "failed", values: data.throughput.failed, width: 2 },
  ], fromZero, "/s");
  lines("latency", 210, [
    { label: "writes p50", color: "writes", values: data.latency.write_p50, width: 2 }, { label: "writes p99", color: "writes", values: data.latency.write_p99, width: 1, dash: [5, 3] },
    { label: "reads p50", color: "reads", values: data.latency.read_p50, width: 2 }, { label: "reads p99", color: "reads", values: data.latency.read_p99, width: 1, dash: [5, 3] },
  ], logarithmic, " ms");
  lines("errors", 150, Object.entries(data.errors).map(([label, values], i) => ({ label, values, color: `e${i % 7}`, fill: true })), fromZero, "/s");
  strips("roles", roles(), true);

  document.getElementById("zoom-all").addEventListener("click", () => show(data.from, data.to));
  const zoomFault = document.getElementById("zoom-fault");
  zoomFault.hidden = !data.faults.length;
  zoomFault.addEventListener("click", () => {
    const from = Math.min(...data.faults.map((f) => f.from));
    const to = Math.max(...data.faults.map((f) => f.to));
    show(from - 0.1 * (to - from) - data.window, to + 0.1 * (to - from) + data.window);
  });
  const redraw = () => { kept.clear(); charts.forEach((u) => u.redraw()); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    root.classList.add("print");
    for (const details of document.querySelectorAll("details")) details.open = true;
    redraw();
  });
  addEventListener("afterprint", () => { root.classList.remove("print"); redraw(); });
  let width = root.clientWidth;
  addEventListener("resize", () => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    for (const u of charts) u.setSize({ width: Math.max(u.root.parentElement.clientWidth, 200), height: u.height });
  });
})();
