// The overview while it is open: what the server streams replaces what it sent with the page. Without it, reload.
(() => {
  const badge = document.querySelector("[data-live]");
  if (!badge || !window.EventSource) return;
  const state = badge.querySelector("[data-live-state]");
  const arrivals = document.querySelector("[data-live-arrivals]");
  let stream = null;
  let over = false;

  const say = (words, tone) => {
    badge.classList.remove("on", "off");
    if (tone) badge.classList.add(tone);
    state.textContent = words;
  };

  const tellArrival = (before, after) => {
    if (!after.dataset.arrival || Number(after.dataset.stage) <= Number(before.dataset.stage)) return;
    const notice = document.createElement("div");
    notice.className = "notice done";
    const sentence = document.createElement("p");
    sentence.textContent = after.dataset.arrival;
    notice.append(sentence);
    arrivals.replaceChildren(notice);
  };

  // What is below stays where it is: a list shows no more entries than it has room for, and keeps its room when it has
  // fewer. Its last line leads to all of them, and the page shows more when it is loaded again.
  const keepRoom = (before, after) => {
    const lists = before.querySelectorAll("[data-entries]");
    for (const list of after.querySelectorAll("[data-entries]")) {
      const old = [...lists].find((one) => one.dataset.entries === list.dataset.entries);
      if (!old) continue;
      const room = Number(old.dataset.room ?? Math.max(old.querySelectorAll("li").length, 1));
      list.dataset.room = room;
      list.style.minBlockSize = old.style.minBlockSize || `${old.offsetHeight}px`;
      for (const entry of [...list.querySelectorAll("li")].slice(room)) entry.remove();
    }
  };

  // Whoever reads a table of a chart is left alone; whoever stands on a link stays on it.
  const replace = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    const old = fresh && document.getElementById(fresh.id);
    if (!old || old.querySelector("details[open]")) return;
    const focus = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    if (fresh.id === "steps") tellArrival(old, fresh);
    keepRoom(old, fresh);
    old.replaceWith(fresh);
    if (focus) fresh.querySelector(`[href="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
    fresh.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true }));
  };

  const open = () => {
    if (stream || over) return;
    stream = new EventSource(badge.dataset.live);
    stream.addEventListener("open", () => say("Live", "on"));
    stream.addEventListener("part", (event) => replace(event.data));
    stream.addEventListener("over", () => {
      over = true;
      close();
      say("Signed out: reload the page", "off");
    });
    stream.addEventListener("error", () => {
      if (stream?.readyState !== EventSource.CLOSED) return say("Reconnecting", "");
      close();
      say("Not live: reload for newer figures", "off");
    });
  };
  const close = () => {
    stream?.close();
    stream = null;
  };

  // A page that nobody sees holds no connection: browsers open only a few to one server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
})();
