// A heading, a sentence, chips and a list of facts. data: {title, small, lead, chips: [{text, tone}], facts: [[term, value]], list}.
// Text goes through textContent alone.

const HASH = /^[0-9a-f]{12,}$/;

function element(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

export default function (component) {
  const { data, parentElement } = component;
  parentElement.querySelectorAll(".root").forEach((old) => old.remove());
  const root = element("div", "root");
  if (data.title) root.append(element("h1", data.small ? "title small" : "title", data.title));
  if (data.lead) root.append(element("p", "lead", data.lead));
  if (data.chips.length) {
    const chips = element("div", "chips");
    for (const chip of data.chips) chips.append(element("span", `chip ${chip.tone}`, chip.text));
    root.append(chips);
  }
  if (data.facts.length) {
    const facts = element("dl", data.list ? "list" : "");
    for (const [term, value] of data.facts) {
      const pair = element("div", value.length > 15 ? "wide" : "");
      pair.append(element("dt", "", term), element("dd", HASH.test(value) ? "mono" : "", value));
      facts.append(pair);
    }
    root.append(facts);
  }
  parentElement.append(root);
}
