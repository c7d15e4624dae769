// A scatter of up to some hundred thousand features on a 2-D canvas.
// data: one byte string, little endian: u32 header length, header (JSON, padded to a multiple of 4), then by point
// u32 index, u16 x, u16 y, u16 cluster (row in header.clusters, 65535: none), u8 colour (255: none), u8 size, u8 lit.
// Text reaches the page through textContent alone.

const PALETTE = ["#4C78A8", "#D9772E", "#3E9B76", "#C8504F", "#8B6BB1", "#A88324",
                 "#4A9DB0", "#C0659A", "#7A8C34", "#94705A", "#5B6FD6", "#2E8B6B"];
const RAMP = ["#35608D", "#2A788E", "#21908C", "#2FA37D", "#5DB35A", "#93B53A", "#C9A02B", "#E0812A", "#D95F3B"];
const NO_CLUSTER = "#8B9296";
const U16 = 65535;
const U8 = 255;
const CELLS = 128;
const ROUND_UP_TO = 20000;
const MARGIN = 0.04;

// What the visitor did to a map outlives a rerun of the page, which draws it anew.
const memory = new WeakMap();

function decode(bytes) {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const take = (type) => { const array = new type(buffer, at, header.n); at += array.byteLength; return array; };
  return { ...header, index: take(Uint32Array), x: take(Uint16Array), y: take(Uint16Array), cluster: take(Uint16Array),
           colour: take(Uint8Array), size: take(Uint8Array), lit: take(Uint8Array) };
}

function opacity(lit, coloured) {
  return !lit ? 0.13 : coloured ? 0.82 : 0.45;
}

// Counting sort of the points into CELLS x CELLS squares, so that a hover looks at a few of them.
function buildGrid(points) {
  const starts = new Uint32Array(CELLS * CELLS + 1);
  const cell = (i) => Math.min(CELLS - 1, points.y[i] * CELLS / (U16 + 1) | 0) * CELLS + Math.min(CELLS - 1, points.x[i] * CELLS / (U16 + 1) | 0);
  for (let i = 0; i < points.n; i++) starts[cell(i) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
  const fill = starts.slice();
  const order = new Uint32Array(points.n);
  for (let i = 0; i < points.n; i++) order[fill[cell(i)]++] = i;
  return { starts, order };
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function mount(parentElement) {
  const stage = element("div", "stage");
  const canvas = element("canvas", "");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  const names = element("div", "names");
  const tip = element("div", "tip");
  const tools = element("div", "tools");
  for (const [key, text, title] of [["in", "+", "Zoom in"], ["out", "−", "Zoom out"], ["home", "⌂", "Show all"]]) {
    const button = element("button", key, text);
    button.type = "button";
    button.title = title;
    button.setAttribute("aria-label", title);
    tools.append(button);
  }
  const note = element("div", "note");
  stage.append(canvas, names, tip, tools, note);
  const root = element("div", "root");
  root.append(stage);
  parentElement.append(root);
  return { stage, canvas, names, tip, tools, note };
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  parentElement.querySelectorAll(".root").forEach((old) => old.remove());
  const points = decode(data);
  const grid = buildGrid(points);
  const colours = points.ramp ? RAMP : PALETTE;
  const { stage, canvas, names, tip, tools, note } = mount(parentElement);
  canvas.setAttribute("aria-label", `Map of ${points.n} features. Every feature is also found by Search.`);
  const context = canvas.getContext("2d");
  if (memory.get(parentElement)?.map !== points.map) memory.set(parentElement, { map: points.map, scale: 1, x: 0.5, y: 0.5, selected: -1 });
  const view = memory.get(parentElement);
  let width = 0, height = 0, hovered = -1, drag = null, pending = 0;

  const unit = () => Math.min(width, height) * (1 - 2 * MARGIN) * view.scale;
  const stretch = () => (width / Math.max(1, height) > 1.25 ? 1.25 : 1);
  const toX = (qx) => width / 2 + (qx / U16 - view.x) * unit() * stretch();
  const toY = (qy) => height / 2 - (qy / U16 - view.y) * unit();
  const fromX = (px) => view.x + (px - width / 2) / unit() / stretch();
  const fromY = (py) => view.y - (py - height / 2) / unit();
  const radius = (i) => (points.n > 20000 ? 1 : points.n > 4000 ? 1.6 : 2.4) * (0.7 + points.size[i] / 170) * Math.sqrt(Math.min(view.scale, 16)) ** 0.6;

  function draw() {
    pending = 0;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const visible = inView();
    if (visible.length <= ROUND_UP_TO) drawDiscs(visible);
    else drawSquares(visible, ratio);
    ring(hovered, 1.5, 3);
    ring(view.selected, 2.5, 5);
    placeNames();
  }

  function inView() {
    const x0 = fromX(-8) * U16, x1 = fromX(width + 8) * U16, y0 = fromY(height + 8) * U16, y1 = fromY(-8) * U16;
    const found = [];
    for (let i = 0; i < points.n; i++) {
      if (points.x[i] >= x0 && points.x[i] <= x1 && points.y[i] >= y0 && points.y[i] <= y1) found.push(i);
    }
    return found;
  }

  // Faint points first, then one path a colour.
  function drawDiscs(visible) {
    const groups = new Map();
    for (const i of visible) {
      const key = points.lit[i] * 256 + (points.colour[i] === U8 ? 0 : points.colour[i] % colours.length + 1);
      let members = groups.get(key);
      if (!members) groups.set(key, members = []);
      members.push(i);
    }
    for (const key of [...groups.keys()].sort((a, b) => a - b)) {
      context.fillStyle = key % 256 ? colours[key % 256 - 1] : NO_CLUSTER;
      context.globalAlpha = opacity(key >= 256, key % 256 > 0);
      context.beginPath();
      for (const i of groups.get(key)) {
        const px = toX(points.x[i]), py = toY(points.y[i]), r = radius(i);
        context.moveTo(px + r, py);
        context.arc(px, py, r, 0, 2 * Math.PI);
      }
      context.fill();
    }
    context.globalAlpha = 1;
  }

  // Too many for paths: squares written into the picture itself, about a hundred thousand in a few milliseconds.
  function drawSquares(visible, ratio) {
    const picture = context.createImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(picture.data.buffer);
    const abgr = (hex, alpha) => {
      const rgb = parseInt(hex.slice(1), 16);
      return (Math.round(alpha * 255) << 24 | (rgb & 255) << 16 | (rgb & 0xff00) | rgb >> 16) >>> 0;
    };
    const ink = [false, true].map((lit) => [NO_CLUSTER, ...colours].map((hex, at) => abgr(hex, opacity(lit, at > 0))));
    for (const lit of [0, 1]) for (const i of visible) {
      if (points.lit[i] !== lit) continue;
      const colour = ink[lit][points.colour[i] === U8 ? 0 : points.colour[i] % colours.length + 1];
      const side = Math.max(1, Math.round(2 * radius(i) * ratio));
      const left = Math.round(toX(points.x[i]) * ratio - side / 2), top = Math.round(toY(points.y[i]) * ratio - side / 2);
      const x0 = Math.max(0, left), x1 = Math.min(canvas.width, left + side), y1 = Math.min(canvas.height, top + side);
      for (let row = Math.max(0, top); row < y1; row++) pixels.fill(colour, row * canvas.width + x0, row * canvas.width + Math.max(x0, x1));
    }
    context.putImageData(picture, 0, 0);
  }

  function ring(i, lineWidth, extra) {
    if (i < 0) return;
    context.strokeStyle = getComputedStyle(stage).color;
    context.lineWidth = lineWidth;
    context.beginPath();
    context.arc(toX(points.x[i]), toY(points.y[i]), radius(i) + extra, 0, 2 * Math.PI);
    context.stroke();
  }

  // Largest clusters first; a name that would cover another is left out until there is room.
  function placeNames() {
    names.replaceChildren();
    const taken = [];
    for (const cluster of points.clusters) {
      const py = toY(cluster.y);
      if (toX(cluster.x) < 0 || toX(cluster.x) > width || py < 0 || py > height) continue;
      const half = Math.min(85, 5 + 3.4 * cluster.name.length);
      // A cluster at the edge keeps its whole name inside.
      const px = Math.max(half, Math.min(width - half, toX(cluster.x)));
      if (taken.some(([ax, ay, ah]) => Math.abs(px - ax) < half + ah && Math.abs(py - ay) < 18)) continue;
      taken.push([px, py, half]);
      const name = element("div", "name", cluster.name);
      name.style.left = `${px}px`;
      name.style.top = `${py}px`;
      names.append(name);
      if (taken.length >= 40) break;
    }
  }

  function nearest(px, py) {
    const reach = 9;
    const column = (v) => Math.max(0, Math.min(CELLS - 1, Math.floor(v * CELLS)));
    const c0 = column(fromX(px - reach)), c1 = column(fromX(px + reach)), r0 = column(fromY(py + reach)), r1 = column(fromY(py - reach));
    let best = -1, bestDistance = reach * reach;
    for (let row = r0; row <= r1; row++) for (let c = c0; c <= c1; c++) {
      const cell = row * CELLS + c;
      for (let k = grid.starts[cell]; k < grid.starts[cell + 1]; k++) {
        const i = grid.order[k];
        const dx = toX(points.x[i]) - px, dy = toY(points.y[i]) - py, distance = dx * dx + dy * dy;
        if (distance < bestDistance) { bestDistance = distance; best = i; }
      }
    }
    return best;
  }

  const redraw = () => { if (!pending) pending = requestAnimationFrame(draw); };
  const position = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };

  function zoom(factor, px, py) {
    const qx = fromX(px), qy = fromY(py);
    view.scale = Math.max(0.8, Math.min(400, view.scale * factor));
    view.x += qx - fromX(px);
    view.y += qy - fromY(py);
    redraw();
  }

  function showTip(i, px, py) {
    tip.replaceChildren();
    tip.style.display = i < 0 ? "none" : "block";
    if (i < 0) return;
    const name = `feature ${points.index[i]}`;
    const cluster = points.cluster[i] === U16 ? "no cluster" : points.clusters[points.cluster[i]].name;
    tip.append(element("span", "", points.labels ? points.labels[i] || "no label" : name));
    tip.append(element("span", "quiet", `${points.labels ? name : "click for its label"} · ${cluster}`));
    tip.style.left = `${Math.min(px + 12, width - 200)}px`;
    tip.style.top = `${py + (py > height - 60 ? -50 : 14)}px`;
  }

  canvas.onpointerdown = (event) => { const [px, py] = position(event); drag = { px, py, x: view.x, y: view.y, moved: false }; canvas.setPointerCapture(event.pointerId); };
  canvas.onpointermove = (event) => {
    const [px, py] = position(event);
    if (drag) {
      drag.moved ||= Math.abs(px - drag.px) + Math.abs(py - drag.py) > 4;
      if (!drag.moved) return;
      canvas.classList.add("dragging");
      view.x = drag.x - (px - drag.px) / unit() / stretch();
      view.y = drag.y + (py - drag.py) / unit();
      showTip(-1);
      redraw();
      return;
    }
    const i = nearest(px, py);
    if (i !== hovered) { hovered = i; redraw(); }
    showTip(i, px, py);
  };
  canvas.onpointerup = (event) => {
    const [px, py] = position(event);
    const clicked = drag && !drag.moved;
    drag = null;
    canvas.classList.remove("dragging");
    if (!clicked) return;
    const i = nearest(px, py);
    if (i < 0) return;
    view.selected = i;
    redraw();
    setStateValue("selected", points.index[i]);
  };
  canvas.onpointerleave = () => { hovered = -1; showTip(-1); redraw(); };
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0015), ...position(event)); }, { passive: false });
  canvas.onkeydown = (event) => {
    const step = 0.08 / view.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key === "+" || event.key === "=") zoom(1.4, width / 2, height / 2);
    else if (event.key === "-") zoom(1 / 1.4, width / 2, height / 2);
    else if (moves[event.key]) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; redraw(); }
    else return;
    event.preventDefault();
  };
  tools.querySelector(".in").onclick = () => zoom(1.6, width / 2, height / 2);
  tools.querySelector(".out").onclick = () => zoom(1 / 1.6, width / 2, height / 2);
  tools.querySelector(".home").onclick = () => { Object.assign(view, { scale: 1, x: 0.5, y: 0.5 }); redraw(); };
  note.textContent = "Wheel zooms, dragging moves, a click selects.";

  const observer = new ResizeObserver(() => { width = stage.clientWidth; height = stage.clientHeight; redraw(); });
  observer.observe(stage);
  return () => { observer.disconnect(); cancelAnimationFrame(pending); };
}
