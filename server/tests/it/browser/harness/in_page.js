// Finds what a person would point at. Run in the page by the test's browser; `what` says how.
const [what, name, around] = arguments;
const clean = (text) => (text ?? "").replace(/\s+/g, " ").trim();
// The style may write capitals.
const low = (text) => clean(text).toLowerCase();

const isVisible = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
};

const nameOf = (element) => {
  const labelledBy = element.getAttribute("aria-labelledby");
  if (labelledBy) return clean(labelledBy.split(/\s+/).map((id) => document.getElementById(id)?.textContent).join(" "));
  if (element.hasAttribute("aria-label")) return clean(element.getAttribute("aria-label"));
  if (element.labels?.length) return clean([...element.labels].map((label) => label.innerText).join(" "));
  // What is drawn has its name inside.
  const within = element instanceof SVGElement ? element.querySelector(":scope > title")?.textContent : "";
  return clean(element.innerText) || clean(element.value) || clean(element.title) || clean(within);
};

const selectors = {
  press: "button, a[href], summary, [role=button], input[type=submit]",
  fill: "input:not([type=radio], [type=checkbox], [type=hidden], [type=submit]), textarea",
  choose: "input[type=radio], input[type=checkbox]",
  select: "select",
};

// What lies on top comes first, then the page's content, then what is around it.
const layer = (element) => {
  if (element.closest(":popover-open:not(.side), dialog[open]")) return 0;
  return element.closest("main") ? 1 : 2;
};

// The smallest part of the page that has this text and something to point at in it.
const placesWith = (text) => {
  const parts = "tr, li, dialog, [popover], fieldset, form, article, .card, section, header, nav, main";
  return [...document.querySelectorAll(parts)]
    .filter((part) => isVisible(part) && low(part.innerText).includes(low(text)))
    .sort((a, b) => a.querySelectorAll("*").length - b.querySelectorAll("*").length);
};

const find = (root) => {
  // Radio buttons and file choosers may be drawn as their labels.
  const seen = [...root.querySelectorAll(selectors[what])].filter((e) => isVisible(e) || (e.labels?.[0] && isVisible(e.labels[0])));
  const exact = seen.filter((element) => low(nameOf(element)) === low(name));
  const first = exact.length ? exact : seen.filter((element) => low(nameOf(element)).startsWith(`${low(name)} `));
  return first.sort((a, b) => layer(a) - layer(b))[0] ?? null;
};

// The element that has the name, and what to click: a control that is not drawn itself is worked by its label.
const answer = (found) => {
  const box = found.getBoundingClientRect();
  return [found, box.width < 4 || box.height < 4 ? found.labels[0] : found];
};

if (!around) {
  const found = find(document);
  return found && answer(found);
}
for (const place of placesWith(around)) {
  const found = find(place);
  if (found) return answer(found);
}
return null;
