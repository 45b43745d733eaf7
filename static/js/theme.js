// Runs before the page is painted, so that a chosen theme never flashes: a stored choice wins over the system's.
(() => {
  try {
    const choice = localStorage.getItem("theme");
    if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
  } catch {
    // Storage may be forbidden; then the system decides.
  }
})();
