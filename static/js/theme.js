// Runs before the page is painted, so that what needs scripts is there from the first (`.needs-script`) and a chosen theme never
// flashes: a stored choice wins over the system's.
(() => {
  document.documentElement.classList.add("scripted");
  try {
    const choice = localStorage.getItem("theme");
    if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
  } catch {
    // Storage may be forbidden; then the system decides.
  }
})();
