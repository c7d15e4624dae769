// A dense table whose ids are links.
// data: {columns: [{key, title, kind, digits, scale, page}], rows: [{...}], empty}. Text goes through textContent alone;
// a link's address is made here from a page's name and an id, encoded.

function element(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function figure(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (digits === 0 && Number.isInteger(value)) return value.toLocaleString("en").replace("-", "−");
  const text = value !== 0 && Math.abs(value) < 10 ** -digits ? value.toExponential(1) : value.toFixed(digits);
  return text.replace("-", "−");
}

function gauge(value, column) {
  if (value === null || value === undefined) return element("span", "quiet", "–");
  const box = element("div", "gauge");
  const track = element("div", "track");
  const fill = element("div", "fill");
  const share = Math.min(1, Math.abs(value ?? 0) / (column.scale || 1));
  if (column.kind === "signed") {
    fill.classList.add(value < 0 ? "negative" : "positive");
    fill.style.width = `${share * 50}%`;
    fill.style.left = value < 0 ? `${50 - share * 50}%` : "50%";
  } else {
    fill.style.width = `${share * 100}%`;
    fill.style.left = "0";
  }
  track.append(fill);
  box.append(track, element("span", "figure", figure(value, column.digits)));
  return box;
}

function interval(value, column) {
  const box = element("div", "gauge");
  const place = (at) => `${Math.max(0, Math.min(1, at / (column.scale || 1))) * 100}%`;
  if (value.value >= 0 && value.value <= (column.scale || 1)) {
    const track = element("div", "track interval");
    const mark = (className, at) => {
      const node = element("div", className);
      node.style.left = place(at);
      track.append(node);
      return node;
    };
    if (value.low !== null && value.high !== null) mark("fill", value.low).style.right = `calc(100% - ${place(value.high)})`;
    if (value.control !== null) mark("control", value.control);
    mark("point", value.value);
    box.append(track);
  }
  box.append(element("span", "figure", figure(value.value, column.digits)));
  return box;
}

function cell(row, column, open) {
  const value = row[column.key];
  if (column.kind === "feature") {
    const node = element("td", "feature");
    if (!value) { node.textContent = value ?? "–"; return node; }
    const link = element("a", "", value.label || "no label");
    link.href = `${column.page}?id=${encodeURIComponent(value.id)}`;
    link.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      open({ page: column.page, id: value.id });
    };
    node.append(link);
    if (value.depth) {
      node.style.paddingLeft = `${1.4 * value.depth}rem`;
      node.prepend(element("span", "branch", "└ "));
    }
    if (value.note) node.append(element("span", "note", value.note));
    return node;
  }
  if (column.kind === "bar" || column.kind === "signed") {
    const node = element("td", "bar");
    node.append(gauge(value, column));
    return node;
  }
  if (column.kind === "interval") {
    const node = element("td", "bar interval");
    if (value.value === null) node.append(element("span", "quiet", "–"));
    else node.append(interval(value, column));
    return node;
  }
  if (column.kind === "chip") {
    const node = element("td", "short");
    if (value) node.append(element("span", `chip ${value.tone}`, value.text));
    return node;
  }
  if (column.kind === "number") return element("td", "number", figure(value, column.digits));
  if (column.kind === "token") return element("td", "token", value === null || value === undefined ? "–" : JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"'));
  return element("td", column.kind, value ?? "–");
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  parentElement.querySelectorAll(".root").forEach((old) => old.remove());
  const root = element("div", "root");
  if (!data.rows.length) root.append(element("div", "empty", data.empty));
  else {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const column of data.columns) {
      const title = element("th", column.kind === "number" ? "number" : "", column.title);
      title.scope = "col";
      if (column.help) title.title = column.help;
      head.append(title);
    }
    const body = table.createTBody();
    for (const row of data.rows) {
      const line = body.insertRow();
      for (const column of data.columns) line.append(cell(row, column, (target) => setTriggerValue("opened", target)));
    }
    const scroll = element("div", "scroll");
    scroll.append(table);
    root.append(scroll);
  }
  parentElement.append(root);
}
