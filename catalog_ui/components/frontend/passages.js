// Passages of tokens, each shaded by its weight: one hue for activations, two for signed effects.
// data: {passages: [{tokens, weights, focus, meta, value, image}], scale, signed, pick, picked}. Text goes through textContent alone.

function element(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function shade(weight, scale, signed) {
  const share = Math.min(1, Math.abs(weight) / scale);
  if (!(share > 0.001)) return "";
  const hue = !signed ? "--hot" : weight > 0 ? "--positive" : "--negative";
  return `color-mix(in srgb, var(${hue}) ${(10 + 62 * share).toFixed(1)}%, transparent)`;
}

function visible(token) {
  return token.replace(/\r/g, "").replace(/\n/g, "⏎\n").replace(/\t/g, "⇥\t").replace(/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u000b-\u001f\u007f]/g, "�");
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  parentElement.querySelectorAll(".root").forEach((old) => old.remove());
  const root = element("div", "root");
  if (!data.passages.length) root.append(element("div", "empty", "No passage of this kind is stored."));
  for (const passage of data.passages) {
    const row = element("div", "passage");
    if (passage.image) {
      const picture = document.createElement("img");
      picture.src = passage.image;
      picture.alt = "The picture of this document";
      row.append(picture);
    }
    const body = element("div", "body");
    const meta = element("div", "meta");
    if (passage.value !== undefined) meta.append(element("span", "value", passage.value));
    for (const text of passage.meta) meta.append(element("span", "", text));
    if (meta.childNodes.length) body.append(meta);
    const line = element("div", "tokens");
    // Word-level models leave the spaces between words out of their tokens.
    const apart = data.pick && !passage.tokens.some((token) => /^\s|\s$/.test(token));
    passage.tokens.forEach((token, i) => {
      if (apart && i) line.append(" ");
      const span = element(data.pick ? "button" : "span", "token", visible(token) || "∅");
      const weight = passage.weights[i] ?? 0;
      span.style.backgroundColor = shade(weight, data.scale, data.signed);
      span.title = `${JSON.stringify(token)}  ${weight.toPrecision(3)}`;
      if (i === passage.focus) span.classList.add("focus");
      if (data.pick) {
        span.type = "button";
        span.setAttribute("aria-pressed", String(i === data.picked));
        span.onclick = () => setStateValue("picked", i === data.picked ? null : i);
      }
      line.append(span);
    });
    body.append(line);
    row.append(body);
    root.append(row);
  }
  parentElement.append(root);
}
