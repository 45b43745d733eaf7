// Everything in view that moves by itself, by three pixels or more (https://wicg.github.io/layout-instability/). Runs before the
// page does. What follows an act of a person within half a second is theirs, and so is a window of another size.
window.moved = [];
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) {
    if (shift.hadRecentInput) continue;
    const what = shift.sources.map(({ node, previousRect: from, currentRect: to }) => {
      const element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
      const name = element ? element.tagName.toLowerCase() + [...element.classList].map((one) => `.${one}`).join("") : "?";
      return `${name} “${(node?.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 40)}” from ${from.x},${from.y} to ${to.x},${to.y}`;
    });
    moved.push(`${shift.value.toFixed(4)}: ${what.join("; ")}`);
  }
}).observe({ type: "layout-shift", buffered: true });
