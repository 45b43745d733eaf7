// What pages do beyond links and forms. Everything works without it, with less comfort.
(() => {
  const root = document.documentElement;

  const copyText = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) throw new Error("copying is forbidden");
  };

  const sayCopied = (button, sentence) => {
    const label = button.querySelector("[data-copy-label]");
    label.setAttribute("role", "status");
    label.textContent = sentence;
    button.classList.toggle("copied", sentence === "Copied");
    clearTimeout(button.restoreTimer);
    button.restoreTimer = setTimeout(() => {
      label.textContent = "Copy";
      button.classList.remove("copied");
    }, 2000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    copyText(button.dataset.copy).then(
      () => sayCopied(button, "Copied"),
      () => sayCopied(button, "Select and copy"),
    );
  });

  // The theme: the system's, light or dark, in turn.
  const choices = ["system", "light", "dark"];
  const nameTheme = (button) => {
    const choice = root.dataset.theme ?? "system";
    button.querySelector("[data-theme-name]").textContent = `Theme: ${choice}`;
  };
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    nameTheme(button);
    button.addEventListener("click", () => {
      const next = choices[(choices.indexOf(root.dataset.theme ?? "system") + 1) % choices.length];
      if (next === "system") delete root.dataset.theme;
      else root.dataset.theme = next;
      try {
        if (next === "system") localStorage.removeItem("theme");
        else localStorage.setItem("theme", next);
      } catch {
        // The choice then lasts as long as the page.
      }
      nameTheme(button);
    });
  }

  // A field that is made from another shows what it will be when left empty.
  const slugOf = (name) =>
    name.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 40).replace(/^-+|-+$/g, "");
  for (const slug of document.querySelectorAll("[data-slug-of]")) {
    const name = document.getElementById(slug.dataset.slugOf);
    const show = () => (slug.placeholder = slugOf(name.value));
    name.addEventListener("input", show);
    show();
  }

  // A file chosen for a text field is read into it.
  for (const chooser of document.querySelectorAll("[data-file-into]")) {
    const file = chooser.querySelector("input[type=file]");
    file.addEventListener("change", async () => {
      if (file.files.length) document.getElementById(chooser.dataset.fileInto).value = await file.files[0].text();
      file.value = "";
    });
  }

  // Whoever types a value means a value, not NULL or the default.
  for (const state of document.querySelectorAll("[data-state-of]")) {
    const value = document.getElementById(state.dataset.stateOf);
    value.addEventListener("input", () => (state.value = "value"));
    state.addEventListener("change", () => {
      if (state.value !== "value") value.value = "";
    });
  }

  // Exact times on hover also in the reader's own time zone.
  const tellLocalTimes = (within) => {
    for (const time of within.querySelectorAll("time[datetime]:not([data-local])")) {
      const local = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
      time.title = `${time.title}\n${local}`;
      time.dataset.local = "";
    }
  };

  tellLocalTimes(document);
  document.addEventListener("htmx:load", (event) => tellLocalTimes(event.target));
})();
