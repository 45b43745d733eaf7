// What has no ring when the keyboard is on it, and what moves although the reader asked that nothing does; a line each.
const faults = [];
const say = (element, fault) =>
  faults.push(`${fault}: ${element.tagName.toLowerCase()}${[...element.classList].map((name) => `.${name}`).join("")} “${element.textContent.trim().replace(/\s+/g, " ").slice(0, 60)}”`);

const hasRing = (element) => {
  const style = getComputedStyle(element);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
};

for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")) {
  if (element.disabled || !element.checkVisibility({ visibilityProperty: true })) continue;
  element.focus({ preventScroll: true });
  if (document.activeElement !== element) continue;
  if (!element.matches(":focus-visible")) say(element, "the keyboard's focus is not told");
  // A control that is not drawn itself has it on its label or on what frames it.
  const shown = [element, ...(element.labels ?? []), element.closest(".control") ?? element];
  if (!shown.some(hasRing)) say(element, "has no focus ring");
}
document.activeElement?.blur();
for (const animation of document.getAnimations()) {
  if (animation.playState === "running") say(animation.effect.target, "moves although that is not wanted");
}
return faults.slice(0, 12);
