// What does not fit on the screen, one line each.
const faults = [];
const say = (element, fault) => {
  const path = [];
  for (let e = element; e && e !== document.body && path.length < 4; e = e.parentElement) {
    path.unshift(e.tagName.toLowerCase() + [...e.classList].map((name) => `.${name}`).join(""));
  }
  faults.push(`${fault}: ${path.join(" > ")} “${element.textContent.trim().replace(/\s+/g, " ").slice(0, 60)}”`);
};
const root = document.documentElement;
// Not that of the window: a phone shows a page that is too wide whole, and smaller.
const width = root.clientWidth;
if (root.scrollWidth > width) faults.push(`the page scrolls sideways: ${root.scrollWidth} px in ${width}`);

// Whatever lies in something that scrolls or cuts by itself is that one's business.
const contained = new Map();
const isContained = (element) => {
  if (!element || element === document.body) return false;
  if (!contained.has(element)) {
    const style = getComputedStyle(element);
    const cuts = style.overflowX !== "visible" || style.clipPath !== "none";
    contained.set(element, cuts || isContained(element.parentElement));
  }
  return contained.get(element);
};

for (const element of document.body.querySelectorAll("*")) {
  if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
  const box = element.getBoundingClientRect();
  if (box.width === 0 || box.height === 0) continue;
  if ((box.right > width + 1 || box.left < -1) && !isContained(element.parentElement) && !element.closest(".skip, svg, .visually-hidden")) {
    say(element, `lies outside the screen (${Math.round(box.left)} to ${Math.round(box.right)} px)`);
  }
}

// Text that leaves its own box without being cut, where the box is a cell, a button or a badge.
for (const element of document.body.querySelectorAll("td, th, button, .button, .badge, h1, h2, dd, dt, label, summary")) {
  if (!element.checkVisibility() || isContained(element)) continue;
  if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1) {
    say(element, `text leaves its box (${element.scrollWidth} px in ${element.clientWidth})`);
  }
}
return faults.slice(0, 12);
